"""The semaphore protocol of src/backend/futex/semaphore.rs.

Two halves of one 64-bit number: the value, and (calls, W, M, V), where V says that the value isn't 0: the kernel compares
one half only. Posting calls first and adds afterwards: one FUTEX_WAKE_OP
wakes a sleeper on the relay and adds a call; then one compare-exchange turns the call into a permit. So what adds is a
compare-exchange, which can keep a maximum, and a poster killed before it has posted nothing. Sleepers sleep beside no
call and no permit; whoever goes to sleep or gives up takes the calls back, and their posters call again.

Those who wait for any of several sleep on a word of their own and are all woken before anything is added: nothing is
lost with one that dies.

Threads by role:
  w  wait                  t  wait with a time limit        y  try           a  wait for any of both semaphores
  p  post                  q  post two at once              s  post, saturating
  z  wait, and may be stopped for ever (not killed) once it was woken
  h  wait, interrupted at some point by a handler that posts        H  post, interrupted by a handler that posts
  1  post to the other semaphore (for role a)
  k  wait, and has looked already when the story begins, at no permit, no call and W

Variants, which must fail:
  add_then_wake     posting adds first, and wakes by the next call
  op_adds           the FUTEX_WAKE_OP adds to the value itself
  on_state          wake-ups go to the state, not to the relay
  relay_last        the relay stands last in the array
  unannounced       waiters don't announce the relay
  sleep_called      a sleeper leaves the calls as they are and sleeps beside them
  leave_called      one that gives up leaves the calls as they are
  clock_first       a timed waiter that was woken looks at its clock first
  clear_apart       W is dropped apart from waking everybody
  one_call          two permits are posted after one call
  no_v              there is no V: the halves are compared one after the other
  any_on_relay      who waits for any sleeps on the relays, unannounced
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep_any

VALUE, STATE, RELAY, ANY, POSTED, TAKEN, SIGNALS = range(7)
OTHER = 7  # where the second semaphore's first four words stand
QUIET = (0, False, False, False)  # calls, W, M, V
STOPPED = ("stopped",)


class Semaphore(Program):
    def __init__(self, roles, maximum=9, variant=None, blind=False, begin=QUIET):
        self.roles, self.threads, self.variant, self.blind = roles, len(roles), variant, blind
        self.maximum, self.begin = maximum, begin

    locks = OTHER + 4

    def words(self):
        signals = sum(role in "hH" for role in self.roles)
        return [0, self.begin, FREE, FREE, 0, 0, signals, 0, QUIET, FREE, FREE]

    def first(self, me):
        return {
            "p": ("post", 1, 0), "H": ("post", 1, 0), "s": ("post", 1, 0), "1": ("post", 1, OTHER), "q": ("post", 2, 0),
            "y": ("take_at_once",), "a": ("look_at_any", 0, False),
            "k": ("announce",),
        }.get(self.roles[me], ("take_at_once",))

    def wrong(self, world):
        if world.words[VALUE] > self.maximum:
            return "above the maximum"
        if world.words[VALUE] + world.words[OTHER + VALUE] + world.words[TAKEN] != world.words[POSTED]:
            return f"permits don't add up: {world.words}"
        if world.words[STATE][3] != (world.words[VALUE] > 0) and self.variant not in ("no_v", "op_adds"):
            return "V is wrong"
        return None

    def may_rest(self, world):
        """Waiters are left, and no permit but what stopped ones were woken for."""
        left = [me for me, place in enumerate(world.at) if place not in (DONE, DEAD)]
        stopped = sum(world.at[me] == STOPPED for me in left)
        waits = all(self.roles[me] in "wtzhak" and world.at[me][0] != "$handler" for me in left)
        both = world.words[VALUE] + world.words[OTHER + VALUE]
        if any(self.roles[me] == "a" for me in left):
            return waits and both == 0
        return waits and (world.words[VALUE] <= stopped or stopped == len(left))

    def handler(self, world, me):
        return ("post", 1, 0) if self.roles[me] in "hH" and world.words[SIGNALS] else None

    def signalled(self, world, me):
        world.words[SIGNALS] -= 1

    # post; `at` is 0 for the semaphore, OTHER for the other one

    def post(self, world, me, count, at):
        value, (calls, w, m, v) = world.words[at + VALUE], world.words[at + STATE]
        if value + count > self.maximum:
            return DONE  # refused, or saturated
        if m:
            return ("call_any", count, at)
        if self.variant == "add_then_wake":
            return ("add", count, at, value, (calls, w, m, v))
        needed = 1 if self.variant == "one_call" else count
        if w and (calls < needed or self.variant == "op_adds"):
            return ("call", count, at)
        return ("add", count, at, value, (calls, w, m, v))

    def call(self, world, me, count, at):
        calls, w, m, v = world.words[at + STATE]
        count_called = 1 if self.variant == "one_call" else count
        if self.variant == "op_adds":
            world.words[at + VALUE] += count
            world.words[POSTED] += count
        else:
            world.words[at + STATE] = (min(calls + count_called, 3), w, m, v)
        on = at + (STATE if self.variant == "on_state" else RELAY)
        then = DONE if self.variant == "op_adds" else ("post", count, at)
        out = []
        for after, woken in self.wake(world, on, count_called):
            out.append((after, then if woken == count_called else ("drop_w", then, at)))
        return out

    @staticmethod
    def wake(world, on, count):
        """FUTEX_WAKE of `count`, which the kernel here does for one or all."""
        if count == 1:
            return world.wake(on, 1)
        out = []
        for after, woken in world.wake(on, 1):
            if woken:
                out += [(later, 1 + more) for later, more in Semaphore.wake(after, on, count - 1)]
            else:
                out.append((after, 0))
        return out

    def drop_w(self, world, me, then, at):
        calls, _, m, v = world.words[at + STATE]
        world.words[at + STATE] = (calls, False, m, v)
        on = at + (STATE if self.variant == "on_state" else RELAY)
        return [(after, then) for after, _ in world.wake(on, 0 if self.variant == "clear_apart" else ALL)]

    def call_any(self, world, me, count, at):
        calls, w, _, v = world.words[at + STATE]
        world.words[at + STATE] = (calls, w, False, v)
        return [(after, ("post", count, at)) for after, _ in world.wake(at + ANY, ALL)]

    def add(self, world, me, count, at, value, state):
        if (world.words[at + VALUE], world.words[at + STATE]) != (value, state):
            return ("post", count, at)
        calls, w, m, _ = state
        world.words[at + VALUE] += count
        world.words[POSTED] += count
        calls = max(calls - count, 0) if w and self.variant != "add_then_wake" else 0
        world.words[at + STATE] = (calls, w, m, self.variant != "no_v")
        return ("wake_after", count, at) if w and self.variant == "add_then_wake" else DONE

    def wake_after(self, world, me, count, at):
        return [(after, DONE if woken else ("drop_w", DONE, at)) for after, woken in self.wake(world, at + RELAY, count)]

    # wait, wait_timeout, try_wait

    def taken(self, world, me, at=0):
        world.words[at + VALUE] -= 1
        if world.words[at + VALUE] == 0:
            world.words[at + STATE] = world.words[at + STATE][:3] + (False,)
        world.words[TAKEN] += 1

    def take_at_once(self, world, me):
        if world.words[VALUE]:
            self.taken(world, me)
            return DONE
        return DONE if self.roles[me] == "y" else ("announce",)

    def announce(self, world, me):
        if self.variant != "unannounced":
            world.pending[me] = RELAY
        return self.sleep(me, (0, True, False, False)) if self.roles[me] == "k" else ("look", False)

    def look(self, world, me, late):
        value, state = world.words[VALUE], world.words[STATE]
        calls, w, _, _ = state
        if value:
            return ("take", late, value, state)
        if late:
            return ("leave", state) if calls and self.variant != "leave_called" else ("take_back",)
        if calls and self.variant == "sleep_called" and w:
            return self.sleep(me, state)
        return ("go_to_sleep", state) if calls or not w else self.sleep(me, state)

    def take(self, world, me, late, value, state):
        if (world.words[VALUE], world.words[STATE]) != (value, state):
            return ("look", late)
        self.taken(world, me)
        return ("take_back",)

    def go_to_sleep(self, world, me, state):
        if (world.words[VALUE], world.words[STATE]) != (0, state):
            return ("look", False)
        state = world.words[STATE] = (0, True, state[2], False)
        return self.sleep(me, state)

    def sleep(self, me, state):
        words = [(RELAY, FREE), (STATE, state)]
        if self.variant == "no_v":
            words += [(VALUE, 0)]
        if self.variant == "relay_last":
            words = words[::-1]
        if self.blind:
            words = [(RELAY, FREE)]
        return sleep_any(words, ("slept",), self.roles[me] == "t" or self.blind)

    def slept(self, world, me, how):
        if self.roles[me] == "z" and how == "woken":
            return [(world.copy(), ("look", False)), (world.copy(), STOPPED)]
        if self.roles[me] == "t" and self.variant != "clock_first" and how == "woken":
            return [(world.copy(), ("look", late)) for late in (False, True)]
        if self.roles[me] == "t" and self.variant == "clock_first" and how == "woken":
            return ("take_back",)
        return ("look", how == "timeout" and self.roles[me] == "t")

    def stopped(self, world, me):
        return None

    def leave(self, world, me, state):
        if (world.words[VALUE], world.words[STATE]) != (0, state):
            return ("look", True)
        world.words[STATE] = (0, state[1], state[2], False)
        return ("take_back",)

    def take_back(self, world, me):
        world.pending[me] = None
        return DONE

    # wait_any

    def look_at_any(self, world, me, number, ready):
        at = OTHER * number
        value, state = world.words[at + VALUE], world.words[at + STATE]
        if value:
            self.taken(world, me, at)
            return DONE
        if self.variant == "any_on_relay":
            if number == 0:
                return ("look_at_any", 1, False)
            if world.words[VALUE]:
                return ("look_at_any", 0, False)
            asleep = world.words[STATE] = world.words[OTHER + STATE] = (0, True, False, False)
            words = [(RELAY, FREE), (OTHER + RELAY, FREE), (STATE, asleep), (OTHER + STATE, asleep)]
            return sleep_any(words, ("slept_any",), False)
        if not state[2]:
            world.words[at + STATE] = (state[0], state[1], True, False)
        seen = (ready or ()) + ((at + STATE, world.words[at + STATE]),)
        if number == 0:
            return ("look_at_any", 1, seen)
        if self.blind:
            return sleep_any([(ANY, FREE)], ("slept_any",), True)
        return sleep_any([(ANY, FREE), (OTHER + ANY, FREE), *seen], ("slept_any",), False)

    def slept_any(self, world, me, how):
        return ("look_at_any", 0, False)


if __name__ == "__main__":
    report = Report()
    for roles, kills in [("wwp", 2), ("wtp", 2), ("wty", 1), ("wwq", 2), ("wtq", 1)]:
        report.holds(f"{roles}: killed anywhere", Semaphore(roles), kills)
    for roles, kills in [("wwpp", 1), ("wtpp", 1), ("wwpp", 2), ("wtpy", 2), ("wwpq", 1), ("wwwpp", 1)]:
        report.long(f"{roles}: the same", Semaphore(roles), kills)
    report.holds("wpp: never above a maximum of one", Semaphore("wpp", maximum=1), 1)
    report.holds("wwpp: the same and two that wait", Semaphore("wwpp", maximum=1), 0)
    report.holds("kkpp: who is about to sleep and a poster that died", Semaphore("kkpp", begin=(1, True, False, False)), 0)
    report.long("wppp: never above two", Semaphore("wppp", maximum=2), 1)
    report.holds("zwpp: a stopped waiter keeps one permit at most", Semaphore("zwpp"), 0)
    report.holds("zwq: the same, posted at once", Semaphore("zwq"), 1)
    report.holds("hwp: a handler posts while its thread waits", Semaphore("hwp"), 1)
    report.holds("wwH: a handler posts while its thread posts", Semaphore("wwH"), 1)
    report.holds("aw1: waiting for any beside one that waits", Semaphore("aw1p"), 0)
    report.holds("aap1: two that wait for any", Semaphore("aap1"), 2)
    report.long("aw1p: waiting for any beside one that waits, killed", Semaphore("aw1p"), 2)
    report.holds("wwp: without futex_waitv", Semaphore("wwp", blind=True), 1)
    report.holds("awp: the same for any", Semaphore("awp", blind=True), 1)

    report.fails("adds, then wakes", Semaphore("wp", variant="add_then_wake"), 1, "hang")
    report.fails("the call adds", Semaphore("wpp", maximum=1, variant="op_adds"), 0, "above the maximum")
    report.fails("wake-ups go to the state", Semaphore("wwwq", variant="on_state"), 1, "hang")
    report.fails("the relay last", Semaphore("wp", variant="relay_last"), 0, "hang")
    report.fails("unannounced", Semaphore("wwp", variant="unannounced"), 1, "hang")
    report.fails("sleeps beside a call", Semaphore("wwp", variant="sleep_called"), 0, "hang")
    report.fails("gives up and leaves the calls", Semaphore("wtp", variant="leave_called"), 0, "hang")
    report.fails("clock first", Semaphore("wtp", variant="clock_first"), 0, "hang")
    report.fails("W dropped apart", Semaphore("wp", variant="clear_apart"), 1, "hang")
    report.fails("one call for two", Semaphore("zwq", variant="one_call"), 0, "hang")
    report.fails("the halves are compared one after the other", Semaphore("kkpp", begin=(1, True, False, False), variant="no_v"), 0, "hang")
    report.fails("who waits for any sleeps on the relays", Semaphore("aw1p", variant="any_on_relay"), 0, "hang")
    report.exit()
