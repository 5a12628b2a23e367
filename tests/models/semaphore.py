"""The semaphore protocol of src/backend/futex/semaphore.rs.

One word: (value, W, M). While W is clear posting is a compare-exchange. Else it depends on the kind:

  open      no maximum but what the word holds: one FUTEX_WAKE_OP adds and wakes on the relay
  binary    one FUTEX_WAKE_OP ORs 1 and wakes one on the relay, so any number of posters make one permit
  limited   a compare-exchange adds, which can keep the maximum, and wakes by the next call; so sleepers look once a second

Who waits for any of several sets M and sleeps on a word of its own, where everybody is woken after a post, and looks up
by itself now and then: nothing is lost with one that dies, and a poster that dies before it wakes them delays them.

Threads by role:
  w  wait                  t  wait with a time limit        y  try           a  wait for any of both semaphores
  p  post                  q  post two at once
  z  wait, and may be stopped for ever (not killed) once it was woken
  h  wait, interrupted at some point by a handler that posts        H  post, interrupted by a handler that posts
  1  post to the other semaphore (for role a)

Variants, which must fail:
  add_then_wake     posting to an open one is adding and waking by the next call, and nobody looks up
  no_slices         nobody looks up on a limited one
  add_limited       posting to a limited one is one FUTEX_WAKE_OP
  add_binary        posting to a binary one adds
  on_word           wake-ups go to the word, not to the relay
  relay_last        the relay stands last in the array
  unannounced       waiters don't announce the relay
  clock_first       a timed waiter that was woken looks at its clock first
  clear_apart       W is dropped apart from waking everybody
  touch_pending     posting announces the relay meanwhile and takes that back, which a handler must not
  one_wake          two permits wake one
  any_on_relay      who waits for any sleeps on the relays, unannounced
  any_blind         who waits for any doesn't look up, and is woken after the post
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep_any

WORD, RELAY, ANY, POSTED, TAKEN, SIGNALS = range(6)
OTHER = 6  # where the second semaphore's first three words stand
STOPPED = ("stopped",)


class Semaphore(Program):
    locks = OTHER + 3

    def __init__(self, roles, kind="open", maximum=9, variant=None, blind=False):
        self.roles, self.threads, self.variant, self.blind = roles, len(roles), variant, blind
        self.interrupted = "h" in roles or "H" in roles
        self.kind, self.maximum = kind, 1 if kind == "binary" else maximum

    def words(self):
        signals = sum(role in "hH" for role in self.roles)
        return [(0, False, False), FREE, FREE, 0, 0, signals, (0, False, False), FREE, FREE]

    def first(self, me):
        return {
            "p": ("post", 1, 0), "H": ("post", 1, 0), "1": ("post", 1, OTHER), "q": ("post", 2, 0),
            "a": ("look_at_any", 0),
        }.get(self.roles[me], ("take_at_once",))

    def wrong(self, world):
        both = world.words[WORD][0] + world.words[OTHER + WORD][0]
        if max(world.words[WORD][0], world.words[OTHER + WORD][0]) > self.maximum:
            return "above the maximum"
        if both + world.words[TAKEN] != world.words[POSTED]:
            return f"permits don't add up: {world.words}"
        return None

    def may_rest(self, world):
        """Waiters are left, and no permit but what stopped ones were woken for."""
        left = [me for me, place in enumerate(world.at) if place not in (DONE, DEAD)]
        stopped = sum(world.at[me] == STOPPED for me in left)
        if not all(self.roles[me] in "wtzha" and world.at[me][0] != "$handler" for me in left):
            return False
        both = world.words[WORD][0] + world.words[OTHER + WORD][0]
        if any(self.roles[me] == "a" for me in left):
            return both == 0
        return world.words[WORD][0] <= stopped or stopped == len(left)

    def handler(self, world, me):
        return ("post", 1, 0) if self.roles[me] in "hH" and world.words[SIGNALS] else None

    def signalled(self, world, me):
        world.words[SIGNALS] -= 1

    # post; `at` is 0 for the semaphore, OTHER for the other one

    def post(self, world, me, count, at):
        """Where nobody waits, a compare-exchange and no further look."""
        value, w, m = word = world.words[at + WORD]
        if w or m or value + count > self.maximum or self.variant in ("touch_pending", "add_limited"):
            return ("post_contended", count, at)
        return ("add_at_once", count, at, word)

    def add_at_once(self, world, me, count, at, word):
        if world.words[at + WORD] != word:
            return ("post_contended", count, at)
        world.words[at + WORD] = (word[0] + count, False, False)
        world.words[POSTED] += count
        return DONE

    def post_contended(self, world, me, count, at):
        if self.variant == "touch_pending":
            world.pending[me] = at + RELAY
        value, w, m = word = world.words[at + WORD]
        if value + count > self.maximum:
            return ("posted", at)
        if w and self.kind != "limited" and self.variant != "add_then_wake" or self.variant == "add_limited":
            return ("add_and_wake", count, at)
        return ("add", count, at, word)

    def add(self, world, me, count, at, word):
        if world.words[at + WORD] != word:
            return ("post_contended", count, at)
        value, w, m = word
        world.words[at + WORD] = (value + count, w, m)
        world.words[POSTED] += count
        return ("wake", count, at) if w else ("look_for_any", at)

    def add_and_wake(self, world, me, count, at):
        value, w, m = world.words[at + WORD]
        new = value + count
        if self.kind == "binary" and self.variant != "add_binary":
            new = max(value, 1)
        world.words[at + WORD] = (new, w, m)
        world.words[POSTED] += new - value
        return self.wake(world, me, count, at)

    def wake(self, world, me, count, at):
        on = at + (WORD if self.variant == "on_word" else RELAY)
        wanted = 1 if self.variant == "one_wake" else count
        return [
            (after, ("look_for_any", at) if woken == wanted else ("drop_w", at))
            for after, woken in self.wake_some(world, on, wanted)
        ]

    @staticmethod
    def wake_some(world, on, count):
        out = []
        for after, woken in world.wake(on, 1):
            if woken and count > 1:
                out += [(later, 1 + more) for later, more in Semaphore.wake_some(after, on, count - 1)]
            else:
                out.append((after, woken))
        return out

    def drop_w(self, world, me, at):
        value, _, m = world.words[at + WORD]
        world.words[at + WORD] = (value, False, m)
        on = at + (WORD if self.variant == "on_word" else RELAY)
        count = 0 if self.variant == "clear_apart" else ALL
        return [(after, ("look_for_any", at)) for after, _ in world.wake(on, count)]

    def look_for_any(self, world, me, at):
        return ("wake_any", at) if world.words[at + WORD][2] else ("posted", at)

    def wake_any(self, world, me, at):
        value, w, _ = world.words[at + WORD]
        world.words[at + WORD] = (value, w, False)
        return [(after, ("posted", at)) for after, _ in world.wake(at + ANY, ALL)]

    def posted(self, world, me, at):
        if self.variant == "touch_pending":
            world.pending[me] = None
        return DONE

    # wait, wait_timeout, try_wait

    def take_one(self, world, at=0):
        value, w, m = world.words[at + WORD]
        world.words[at + WORD] = (value - 1, w, m)
        world.words[TAKEN] += 1

    def take_at_once(self, world, me):
        if world.words[WORD][0]:
            self.take_one(world)
            return DONE
        return DONE if self.roles[me] == "y" else ("announce",)

    def announce(self, world, me):
        if self.variant != "unannounced":
            world.pending[me] = RELAY
        return ("look",)

    def look(self, world, me):
        value, w, _ = word = world.words[WORD]
        if value:
            return ("take", word)
        wait = self.sleep(me, word) if w else ("go_to_sleep", word)
        # Its time may be up at any look.
        return [(world.copy(), ("take_back",)), (world, wait)] if self.roles[me] == "t" else wait

    def take(self, world, me, word):
        if world.words[WORD] != word:
            return ("look",)
        self.take_one(world)
        return ("take_back",)

    def go_to_sleep(self, world, me, word):
        if world.words[WORD] != word:
            return ("look",)
        word = world.words[WORD] = (0, True, word[2])
        return self.sleep(me, word)

    def sleep(self, me, word):
        words = [(RELAY, FREE), (WORD, word)]
        if self.variant == "relay_last":
            words = words[::-1]
        if self.blind:
            words = words[:1]
        slices = self.blind or self.kind == "limited" and self.variant != "no_slices"
        return sleep_any(words, ("slept",), self.roles[me] == "t" or slices)

    def slept(self, world, me, how):
        role = self.roles[me]
        if role == "z" and how == "woken":
            return [(world.copy(), ("look",)), (world.copy(), STOPPED)]
        if role == "t" and how == "woken" and self.variant == "clock_first":
            return ("take_back",)
        return ("look",)

    def stopped(self, world, me):
        return None

    def take_back(self, world, me):
        world.pending[me] = None
        return DONE

    # wait_any: looks at both, then marks both

    def look_at_any(self, world, me, number):
        at = OTHER * number
        if world.words[at + WORD][0]:
            self.take_one(world, at)
            return DONE
        return ("look_at_any", 1) if number == 0 else ("mark_any", 0, ())

    def mark_any(self, world, me, number, seen):
        at = OTHER * number
        value, w, _ = world.words[at + WORD]
        if value:
            return ("look_at_any", 0)
        on_relay = self.variant == "any_on_relay"
        world.words[at + WORD] = word = (0, w or on_relay, not on_relay)
        seen += ((at + (RELAY if on_relay else ANY), FREE), (at + WORD, word))
        if number == 0:
            return ("mark_any", 1, seen)
        words = seen[:1] if self.blind else seen
        return sleep_any(words, ("slept_any",), self.variant not in ("any_on_relay", "any_blind"))

    def slept_any(self, world, me, how):
        return ("look_at_any", 0)


if __name__ == "__main__":
    report = Report()
    for roles, kills in [("wwp", 2), ("wtp", 2), ("wty", 1), ("wwpp", 1), ("wwq", 2), ("wtq", 1)]:
        report.holds(f"{roles}: killed anywhere", Semaphore(roles), kills)
    for roles, kills in [("wtpp", 1), ("wwwpp", 1), ("wwpp", 2), ("wwtpp", 1), ("wtpy", 2), ("wwpq", 1), ("wwwpp", 2), ("wwppp", 1)]:
        report.long(f"{roles}: the same", Semaphore(roles), kills)
    report.holds("wwpp: a binary one", Semaphore("wwpp", "binary"), 1)
    report.long("wtpp: a binary one and a time limit", Semaphore("wtpp", "binary"), 1)
    report.holds("wtp: the same and a time limit", Semaphore("wtp", "binary"), 1)
    report.holds("wwpp: never above a maximum of one", Semaphore("wwpp", "limited", 1), 1)
    report.holds("wqp: never above a maximum of two", Semaphore("wqp", "limited", 2), 1)
    report.holds("zwpp: a stopped waiter keeps one permit at most", Semaphore("zwpp"), 1)
    report.holds("zwq: the same, posted at once", Semaphore("zwq"), 1)
    report.holds("hwp: a handler posts while its thread waits", Semaphore("hwp"), 2)
    report.holds("wwH: a handler posts while its thread posts", Semaphore("wwH"), 2)
    report.holds("aw1p: waiting for any beside one that waits", Semaphore("aw1p"), 1)
    report.holds("aap1: two that wait for any", Semaphore("aap1"), 1)
    report.holds("wwpp: without futex_waitv", Semaphore("wwpp", blind=True), 1)
    report.holds("awp: the same for any", Semaphore("awp", blind=True), 1)

    report.fails("adds, then wakes", Semaphore("wp", variant="add_then_wake"), 1, "hang")
    report.fails("nobody looks up on a limited one", Semaphore("wp", "limited", variant="no_slices"), 1, "hang")
    report.fails("adds to a limited one", Semaphore("wpp", "limited", 1, variant="add_limited"), 0, "above the maximum")
    report.fails("adds to a binary one", Semaphore("wwpp", "binary", variant="add_binary"), 0, "above the maximum")
    report.fails("wake-ups go to the word", Semaphore("wwwq", variant="on_word"), 1, "hang")
    report.fails("the relay last", Semaphore("wp", variant="relay_last"), 0, "hang")
    report.fails("unannounced", Semaphore("wwp", variant="unannounced"), 1, "hang")
    report.fails("clock first", Semaphore("wtp", variant="clock_first"), 0, "hang")
    report.fails("W dropped apart", Semaphore("wwpp", variant="clear_apart"), 0, "hang")
    report.fails("a handler announces", Semaphore("hwwp", variant="touch_pending"), 1, "hang")
    report.fails("one wake-up for two", Semaphore("wwq", variant="one_wake"), 0, "hang")
    report.fails("who waits for any sleeps on the relays", Semaphore("aw1p", variant="any_on_relay"), 1, "hang")
    report.fails("who waits for any doesn't look up", Semaphore("ap", variant="any_blind"), 1, "hang")
    report.exit()
