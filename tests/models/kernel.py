"""The kernel and SIGKILL, for exhaustive models of the protocols in src/backend/futex and src/backend/watched.

A model is a Program: a few threads, each in a process of its own, each a state machine whose every step is one atomic
access or one system call. `explore` goes through every interleaving of the steps, with a kill after any of them, and
asks two things of every state that can be reached:

  - is something wrong here (Program.wrong: two owners, a lock of the dead left locked, ...)?
  - can everybody still come to an end, if nobody is killed any more? If not, somebody waits for ever.

What the kernel does at a thread's death is applied to exactly what the model has put on the thread's robust list and in
its list_op_pending, so a wrong discipline shows up by itself:

  - the walk follows the links as they stand in (shared) memory, and gives up after LIMIT entries;
  - a word that the dead thread owns is marked, and one sleeper is woken if WAITERS is set;
  - the same for the pending word, and if nobody owns that one, one sleeper is woken and the word is left alone.

futex_waitv compares and queues word by word, in the array's order, and a sleeper that was woken through one word stays
queued on the others until it runs: another wake-up can hit it there.

A word is a tuple (owner, waiters, died). An owner is a thread id, None where nobody is. A thread's place in its program
is a tuple (name of a step, arguments...).
"""

import gc
import os
from array import array
from itertools import accumulate

DONE, DEAD = ("done",), ("dead",)
FREE = (None, False, False)
LIMIT = 8


def end_of(thread):
    """What the last link of a thread's list leads to: its own head."""
    return ("head", thread)


class World:
    """One state of everything."""

    __slots__ = ("words", "next", "head", "pending", "asleep", "woken", "at", "kills")

    def copy(self):
        new = World.__new__(World)
        new.words, new.next, new.head, new.pending = self.words[:], self.next[:], self.head[:], self.pending[:]
        new.asleep, new.woken, new.at, new.kills = self.asleep[:], self.woken[:], self.at[:], self.kills
        return new

    # Where a frozen one has what: all in one row, which is faster to hash than rows in a row.
    places = ()

    def freeze(self):
        return (*self.words, *self.next, *self.head, *self.pending, *self.asleep, *self.woken, *self.at, self.kills)

    @staticmethod
    def thaw(frozen):
        new = World.__new__(World)
        words, next, head, pending, asleep, woken, at = World.places
        new.words, new.next, new.head = list(frozen[:words]), list(frozen[words:next]), list(frozen[next:head])
        new.pending, new.asleep = list(frozen[head:pending]), list(frozen[pending:asleep])
        new.woken, new.at, new.kills = list(frozen[asleep:woken]), list(frozen[woken:at]), frozen[at]
        return new

    def link(self, me, word):
        """Puts a word on the thread's list, newest first: its own link, then the head."""
        self.next[word] = self.head[me]
        self.head[me] = word

    def unlink(self, me, word):
        """Takes a word off the thread's list by one store into what precedes it there, if it can be found."""
        if self.head[me] == word:
            self.head[me] = self.next[word]
            return
        for before in self.walk(me):
            if self.next[before] == word:
                self.next[before] = self.next[word]
                return

    def walk(self, me):
        """The entries that the links lead to from the thread's head, until one leads to a head or nowhere."""
        at, seen = self.head[me], 0
        while isinstance(at, int) and seen < LIMIT:
            yield at
            at, seen = self.next[at], seen + 1

    def wake(self, word, count):
        """FUTEX_WAKE: every choice of `count` sleepers, each as (world, how many were woken)."""
        sleepers = [t for t, on in enumerate(self.asleep) if word in on]
        if not sleepers or count == 0:
            return [(self.copy(), 0)]
        choices = [sleepers] if count >= len(sleepers) else [[t] for t in sleepers]
        out = []
        for chosen in choices:
            world = self.copy()
            for thread in chosen:
                world.asleep[thread] = tuple(on for on in world.asleep[thread] if on != word)
                world.woken[thread] += (word,)
            out.append((world, len(chosen)))
        return out


ALL = 99


class Program:
    """What a model defines. Every other method is a step: step(world, me, *arguments) changes its own copy of the world
    and returns the thread's next place, or a list of (world, place) where several things may happen."""

    threads = 0
    # Before commit 90d758896787 (Linux 6.2) the kernel woke nobody on a pending word that had WAITERS or OWNER_DIED set.
    old_kernel = False
    # Whether "woken" comes with the words that wake-ups came through.
    tells = False
    # Whether there is any handler.
    interrupted = False
    # Whether the kernel finds the list of a thread that dies.
    marked = True

    def words(self):
        """What stands in shared memory at first; the first `locks` of them can be on a list."""
        raise NotImplementedError

    locks = 1

    def first(self, me):
        raise NotImplementedError

    def tid(self, me):
        return me

    def wrong(self, world):
        """What is wrong with this state, in words, or None."""
        return None

    def at_kill(self, world, me):
        """Notes what the model wants to know about a death, before the kernel acts on it."""

    def may_be_killed(self, world, me):
        return True

    def may_rest(self, world):
        """Whether it is right that nobody comes to an end from here: those who are left wait for what nobody will do."""
        return False

    def handler(self, world, me):
        """Where a signal handler begins that may interrupt this thread now, or None; `signalled` notes that it did."""
        return None

    def signalled(self, world, me):
        """Notes a signal."""

    def killed_unmarked(self, me):
        """Whether the kernel can't find the list of this thread."""
        return not self.marked


def sleep(word, value, then, timed):
    """FUTEX_WAIT: goes on at `then` with "woken", "changed" or, if timed, "timeout" as a further argument."""
    return ("$wait", ((word, value),), then, timed)


def sleep_any(words, then, timed):
    """futex_waitv on (word, value)s in this order: the same."""
    return ("$wait", tuple(words), then, timed)


def die(program, world, me):
    """Everything that a kill can lead to."""
    world = world.copy()
    program.at_kill(world, me)
    world.at[me], world.asleep[me], world.woken[me] = DEAD, (), ()
    worlds = [world]
    if not program.killed_unmarked(me):
        tid, pending = program.tid(me), world.pending[me]
        for word in list(world.walk(me)):
            if word != pending:
                worlds = [after for before in worlds for after in mark(before, word, tid)]
        if pending is not None:
            worlds = [after for before in worlds for after in mark_pending(program, before, pending, tid)]
    for world in worlds:
        world.pending[me], world.head[me] = None, end_of(me)
    return worlds


def mark(world, word, tid):
    owner, waiters, _ = world.words[word]
    if owner != tid:
        return [world]
    world.words[word] = (None, waiters, True)
    return [woken for woken, _ in world.wake(word, 1 if waiters else 0)]


def mark_pending(program, world, word, tid):
    owner, waiters, died = world.words[word]
    if owner is None and not (program.old_kernel and (waiters or died)):
        return [woken for woken, _ in world.wake(word, 1)]
    return mark(world, word, tid)


def moves(program, world):
    """Every step that can come next, as (label, world)."""
    for me in range(program.threads):
        place = world.at[me]
        name = place[0]
        if name == "done" or name == "dead":
            continue
        if name[0] != "$" and not program.interrupted:
            # As below, without the ways round: most steps are such.
            new = world.copy()
            result = getattr(program, name)(new, me, *place[1:])
            for after, then in result if isinstance(result, list) else ((new, result),):
                if then is not None:
                    after.at[me] = then
                    yield f"{me} {name}", after
            continue
        handler = program.handler(world, me)
        if handler and name != "$handler":
            new = world.copy()
            if place[0] in ("$queue", "$asleep"):  # the call ends, and not without a wake-up that it has got
                place = place[-2] + ("woken" if new.woken[me] else "interrupted",)
                new.asleep[me], new.woken[me] = (), ()
            new.at[me] = ("$handler", handler, place)
            program.signalled(new, me)
            yield f"{me} is interrupted", new
        place = world.at[me]
        if place[0] == "$handler":
            for by, after, then in steps(program, world, me, place[1]):
                after.at[me] = place[2] if then == DONE else ("$handler", then, place[2])
                yield f"{by} in a handler", after
        else:
            for by, after, then in steps(program, world, me, place):
                after.at[me] = then
                yield by, after


def steps(program, world, me, place):
    """What the thread can do at this place, as (label, world, next place)."""
    if place[0] == "$wait":
        yield from steps(program, world, me, ("$queue", 0) + place[1:])
    elif place[0] == "$queue":
        _, queued, words, then, timed = place
        word, value = words[queued]
        new = world.copy()
        if new.words[word] != value:
            how = how_woken(program, new, me) if new.woken[me] else "changed"
            new.asleep[me], new.woken[me] = (), ()
            yield f"{me} needn't sleep", new, then + (how,)
        else:
            new.asleep[me] += (word,)
            if queued + 1 < len(words):
                yield f"{me} queues on {word}", new, ("$queue", queued + 1, words, then, timed)
            else:
                yield f"{me} sleeps", new, ("$asleep", then, timed)
    elif place[0] == "$asleep":
        new = world.copy()
        if world.woken[me]:
            new.asleep[me], new.woken[me] = (), ()
            yield f"{me} is woken", new, place[1] + (how_woken(program, world, me),)
        elif place[2]:
            new.asleep[me] = ()
            yield f"{me}'s time is up", new, place[1] + ("timeout",)
    else:
        new = world.copy()
        result = getattr(program, place[0])(new, me, *place[1:])
        for after, next_place in result if isinstance(result, list) else [(new, result)]:
            if next_place is not None:  # None: the step can't be done yet
                yield f"{me} {place[0]}", after, next_place


def how_woken(program, world, me):
    """What a sleeper learns of its wake-up."""
    return ("woken", world.woken[me]) if program.tells else "woken"


class Verdict:
    def __init__(self, states, problem, trace):
        self.states, self.problem, self.trace = states, problem, trace


LIMIT_OF_STATES = 3_000_000
KILL = "KILL"


def start_of(program, kills):
    start = World.__new__(World)
    start.words = list(program.words())
    start.next = [None] * program.locks
    start.head = [end_of(t) for t in range(program.threads)]
    start.pending = [None] * program.threads
    start.asleep, start.woken = [()] * program.threads, [()] * program.threads
    start.at = [program.first(t) for t in range(program.threads)]
    start.kills = kills
    rows = (start.words, start.next, start.head, start.pending, start.asleep, start.woken, start.at)
    World.places = tuple(accumulate(map(len, rows)))
    return start


def may_end(program, world):
    return all(place in (DONE, DEAD) for place in world.at) or program.may_rest(world)


def deaths(program, world):
    """Every kill that can come next, as (label, world)."""
    if world.kills:
        for me, place in enumerate(world.at):
            if place not in (DONE, DEAD) and program.may_be_killed(world, me):
                for new in die(program, world, me):
                    new.kills -= 1
                    yield f"{KILL} {me}", new


def hang(world):
    waiting = [t for t, place in enumerate(world.at) if place not in (DONE, DEAD)]
    return f"hang: {waiting} can't come to an end, words {world.words}"


def explore(program, kills):
    """Depth first, deaths before all else: what is wrong is found early. A hang is a set of states that lead to each other and
    to no end, and nowhere else: known as soon as the set is complete (Tarjan's strongly connected components, of the moves;
    no way leads back from a death, and that somebody's death would end a hang is no end)."""
    # Nothing here is a cycle, and looking for cycles among millions of tuples takes a fifth of the time.
    gc.disable()
    number = {}
    low, is_open, good = array("l"), bytearray(), bytearray()
    begun = []  # the states of sets that aren't complete, and the way to where the search is
    path = []

    def visit(frozen, by):
        """Begins with a state; says what is wrong with it."""
        at = number[frozen] = len(low)
        low.append(at)
        is_open.append(1)
        begun.append((at, frozen))
        world = World.thaw(frozen)
        good.append(may_end(program, world))
        problem = program.wrong(world)
        if problem:
            path.append((at, iter(()), by))
            return problem
        rest = [(by, new.freeze()) for by, new in deaths(program, world)]
        rest += [(by, new.freeze()) for by, new in moves(program, world)]
        path.append((at, iter(rest), by))
        return None

    def verdict(problem):
        return Verdict(len(low), problem, [by for _, _, by in path[1:]])

    problem = visit(start_of(program, kills).freeze(), "")
    while path:
        if problem:
            return verdict(problem)
        if len(low) > LIMIT_OF_STATES:
            return Verdict(len(low), f"no verdict after {LIMIT_OF_STATES} states", [])
        at, rest, came_by = path[-1]
        for by, frozen in rest:
            found = number.get(frozen)
            if found is None:
                problem = visit(frozen, by)
                break
            if by.startswith(KILL):
                continue
            if not is_open[found]:
                good[at] = 1  # or the search would have ended there
            elif found < low[at]:
                low[at] = found
        else:
            if low[at] == at:
                ends = False
                while True:
                    last, frozen = begun.pop()
                    is_open[last] = 0
                    ends = ends or good[last]
                    if last == at:
                        break
                if not ends:
                    return verdict(hang(World.thaw(frozen)))
                good[at] = 1
            path.pop()
            if path and not came_by.startswith(KILL):
                before = path[-1][0]
                low[before] = min(low[before], low[at])
                good[before] |= good[at]
    return verdict(None)


def shortest_trace(program, kills, problem):
    """What leads to the problem in the fewest steps; for a hang, to the state that was found."""
    start = start_of(program, kills).freeze()
    states, parent, label, known = [start], array("l", [-1]), [""], {start}
    for at, frozen in enumerate(states):
        world = World.thaw(frozen)
        wrong = program.wrong(world)
        if wrong and wrong != problem:
            continue
        if problem in (wrong, hang(world)):
            steps = []
            while parent[at] >= 0:
                steps.append(label[at])
                at = parent[at]
            return steps[::-1]
        for step in (moves, deaths):
            for by, new in step(program, world):
                frozen = new.freeze()
                if frozen not in known:
                    known.add(frozen)
                    states.append(frozen)
                    parent.append(at)
                    label.append(by)
    return []


class Report:
    """Runs models and compares what they say with what is expected of them."""

    def __init__(self):
        self.surprises = 0

    def holds(self, name, program, kills):
        self.check(name, program, kills, None)

    def long(self, name, program, kills):
        """What takes long, and is only run when asked for: PSHARED_MODELS=full."""
        if os.environ.get("PSHARED_MODELS") == "full":
            self.holds(name, program, kills)

    def fails(self, name, program, kills, problem):
        """The model must find this problem: what it finds nothing in would prove nothing."""
        self.check(name, program, kills, problem)

    def check(self, name, program, kills, expected):
        verdict = explore(program, kills)
        found = verdict.problem
        fine = found is None if expected is None else (found or "").startswith(expected)
        said = found or "holds"
        print(f"{'as expected' if fine else 'SURPRISE   '} | {name} | kills {kills} | {verdict.states} states | {said}", flush=True)
        if not fine:
            self.surprises += 1
            for step in shortest_trace(program, kills, found) if found else verdict.trace:
                print(f"                {step}")

    def exit(self):
        raise SystemExit(1 if self.surprises else 0)
