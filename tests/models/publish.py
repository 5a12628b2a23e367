"""Publishing: src/backend/futex/publish.rs and what src/cell.rs does with it.

One word stands for something that one thread makes and all others wait for: nobody is at it (0 or OWNER_DIED), a thread is
at it, or it is READY for good. A thread that dies at it is replaced.

Threads by role:
  c  finds it or makes it (open_or_create)       o  finds it, or gives up after a while (open)

Variants, which must fail:
  ready_then_wake       READY is stored first and everybody is woken by the next call
  unannounced           publishing takes the word off the list without announcing it
  header_first          the header, which says what was made, is written before the rest
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

STATE, HEADER, BODY = 0, 1, 2
READY = ("ready", False, False)


class Publish(Program):
    def __init__(self, roles, variant=None):
        self.roles, self.threads, self.variant = roles, len(roles), variant

    def words(self):
        # The state word; what the header says; the body: blank, half-made or made.
        return [FREE, "blank", "blank"]

    def first(self, me):
        return ("look_at_once",)

    def wrong(self, world):
        using = any(place[0] == "uses" for place in world.at)
        if using and (world.words[HEADER], world.words[BODY]) != ("made", "made"):
            return f"used unfinished: {world.words}"
        if sum(place[0] in ("makes_body", "finishes", "writes_header") for place in world.at) > 1:
            return "two at work"
        owner = world.words[STATE][0]
        if isinstance(owner, int) and world.at[owner] == DEAD:
            return f"unmarked: {owner} is dead and at work"
        return None

    def look_at_once(self, world, me):
        return ("uses",) if world.words[STATE] == READY else ("announce",)

    def announce(self, world, me):
        world.pending[me] = STATE
        return ("look",)

    def look(self, world, me):
        word = owner, waiters, _ = world.words[STATE]
        if owner is None:
            return ("take", word)
        if owner == "ready":
            return ("leave",)
        return sleep(STATE, word, ("slept",), False) if waiters else ("announce_waiting", word)

    def announce_waiting(self, world, me, word):
        if world.words[STATE] != word:
            return ("look",)
        word = world.words[STATE] = (word[0], True, word[2])
        return sleep(STATE, word, ("slept",), False)

    def slept(self, world, me, how):
        return ("look",)

    def leave(self, world, me):
        world.pending[me] = None
        return ("uses",)

    def take(self, world, me, word):
        if world.words[STATE] != word:
            return ("look",)
        world.words[STATE] = (me, word[1], False)
        return ("link",)

    def link(self, world, me):
        world.link(me, STATE)
        if world.words[HEADER] == "made":
            return ("announce_publishing",)  # whoever made it died before it said so
        if self.roles[me] == "o":
            return ("announce_release",)
        return ("writes_header",) if self.variant == "header_first" else ("makes_body",)

    # what is made, in two steps and a header that comes last

    def makes_body(self, world, me):
        world.words[BODY] = "half-made"
        return ("finishes",)

    def finishes(self, world, me):
        world.words[BODY] = "made"
        return ("announce_publishing",) if self.variant == "header_first" else ("writes_header",)

    def writes_header(self, world, me):
        world.words[HEADER] = "made"
        return ("makes_body",) if self.variant == "header_first" else ("announce_publishing",)

    # publish

    def announce_publishing(self, world, me):
        if self.variant != "unannounced":
            world.pending[me] = STATE
        else:
            world.pending[me] = None
        return ("unlink",)

    def unlink(self, world, me):
        world.unlink(me, STATE)
        return ("publish",)

    def publish(self, world, me):
        world.words[STATE] = READY
        if self.variant == "ready_then_wake":
            return ("wake_all",)
        return [(after, ("published",)) for after, _ in world.wake(STATE, ALL)]

    def wake_all(self, world, me):
        return [(after, ("published",)) for after, _ in world.wake(STATE, ALL)]

    def published(self, world, me):
        world.pending[me] = None
        return ("uses",)

    # an opener that found nothing made: unlocks, and looks again some time later, or not

    def announce_release(self, world, me):
        world.pending[me] = STATE
        return ("unlink_to_release",)

    def unlink_to_release(self, world, me):
        world.unlink(me, STATE)
        return ("release",)

    def release(self, world, me):
        waiters = world.words[STATE][1]
        world.words[STATE] = (None, waiters, False)
        return ("wake_one",) if waiters else ("glance",)

    def wake_one(self, world, me):
        return [(after, ("glance",) if woken else ("clear_and_wake_all",)) for after, woken in world.wake(STATE, 1)]

    def clear_and_wake_all(self, world, me):
        owner, _, died = world.words[STATE]
        world.words[STATE] = (owner, False, died)
        return [(after, ("glance",)) for after, _ in world.wake(STATE, ALL)]

    def glance(self, world, me):
        world.pending[me] = None
        return [(world.copy(), ("look_at_once",)), (world, DONE)]

    def uses(self, world, me):
        return DONE


if __name__ == "__main__":
    report = Report()
    report.holds("three that find it or make it", Publish("ccc"), 1)
    report.holds("two that find it or make it, one that only finds it", Publish("cco"), 1)
    report.holds("one that makes it, two that find it", Publish("coo"), 1)
    report.holds("two deaths", Publish("cco"), 2)
    report.fails("READY first, then the waking", Publish("cc", variant="ready_then_wake"), 1, "hang")
    report.fails("published unannounced", Publish("cc", variant="unannounced"), 1, "unmarked")
    report.fails("the header first", Publish("cc", variant="header_first"), 1, "used unfinished")
    report.exit()
