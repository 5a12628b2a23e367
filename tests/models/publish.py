"""Publishing: src/backend/futex/publish.rs and what src/cell.rs does with it.

One word stands for something that one thread makes and all others wait for: nobody is at it (0 or OWNER_DIED), a thread is
at it, or it is READY for good. A thread that dies at it is replaced.

Threads by role:
  c  finds it or makes it (open_or_create)       o  finds it, or gives up after a while (open)
  t  as c, with a time limit that may be up at any look

What was made in an earlier boot has been published and must be made anew from what is there: whoever comes takes it back
into preparation (`earlier`); the others wait, or see it when it is done.

Variants, which must fail:
  ready_then_wake       READY is stored first and everybody is woken by the next call
  unannounced           publishing takes the word off the list without announcing it
  header_first          the header, which says what was made, is written before the rest
  reset_blindly         who has taken back what an earlier boot made doesn't look whether another has done it meanwhile
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

STATE, HEADER, BODY = 0, 1, 2
READY = ("ready", False, False)


AT_WORK = ("makes_body", "finishes", "writes_header", "resets_body", "ends_reset", "writes_boot")


class Publish(Program):
    def __init__(self, roles, variant=None, earlier=False):
        self.roles, self.threads, self.variant, self.earlier = roles, len(roles), variant, earlier

    def words(self):
        # The state word; what the header says; the body: blank, half-made or made, or of an earlier boot.
        return [READY, "earlier", "earlier"] if self.earlier else [FREE, "blank", "blank"]

    def first(self, me):
        return ("look_at_header",)

    def wrong(self, world):
        for place in world.at:
            if place[0] == "$wrong":
                return place[1]
        using = any(place[0] == "uses" for place in world.at)
        if using and (world.words[HEADER], world.words[BODY]) != ("made", "made"):
            return f"used unfinished: {world.words}"
        if sum(place[0] in AT_WORK for place in world.at) > 1:
            return "two at work"
        owner = world.words[STATE][0]
        if isinstance(owner, int) and world.at[owner] == DEAD:
            return f"unmarked: {owner} is dead and at work"
        return None

    # attach_or_finish: the header, then the state

    def look_at_header(self, world, me):
        return ("look_at_state", world.words[HEADER])

    def look_at_state(self, world, me, header):
        if world.words[STATE] != READY:
            return ("announce",)
        return {"made": ("uses",), "earlier": ("announce_reopening",), "blank": ("look_at_header_again",)}[header]

    def look_at_header_again(self, world, me):
        """Published after it was looked at: what is published isn't blank."""
        return ("$wrong", "published and blank") if world.words[HEADER] == "blank" else ("look_at_header",)

    # reopen

    def announce_reopening(self, world, me):
        world.pending[me] = STATE
        return ("reopen",)

    def reopen(self, world, me):
        if world.words[STATE] != READY:
            return ("leave", "look_at_header")
        world.words[STATE] = (me, False, False)
        return ("link",)

    # enter: acquire_contended, `slept` from the first wake-up on

    def announce(self, world, me):
        world.pending[me] = STATE
        return ("look", False)

    def look(self, world, me, slept):
        word = owner, waiters, _ = world.words[STATE]
        if owner is None:
            return ("take", slept, word)
        if owner == "ready":
            return ("leave", "look_at_header")
        wait = self.sleep(me, slept, word) if waiters else ("mark", slept, word)
        return [(world.copy(), ("leave", "late")), (world, wait)] if self.roles[me] == "t" else wait

    def mark(self, world, me, slept, word):
        if world.words[STATE] != word:
            return ("look", slept)
        word = world.words[STATE] = (word[0], True, word[2])
        return self.sleep(me, slept, word)

    def sleep(self, me, slept, word):
        return sleep(STATE, word, ("slept", slept), self.roles[me] == "t")

    def slept(self, world, me, slept, how):
        return ("look", slept or how == "woken")

    def leave(self, world, me, then):
        world.pending[me] = None
        return (then,)

    def late(self, world, me):
        return [(world.copy(), ("look_at_header",)), (world, DONE)] if world.words[STATE] == READY else DONE

    def take(self, world, me, slept, word):
        if world.words[STATE] != word:
            return ("look", slept)
        world.words[STATE] = (me, word[1] or slept, False)
        return ("link",)

    def link(self, world, me):
        world.link(me, STATE)
        return ("look_at_work",)

    def look_at_work(self, world, me):
        header = world.words[HEADER]
        if self.variant == "reset_blindly" and self.earlier:
            return ("resets_body",)
        if header == "made":
            return ("announce_publishing",)  # whoever made it died before it said so, or another has reset it
        if header == "earlier":
            return ("resets_body",)
        if self.roles[me] == "o":
            return ("announce_release",)
        return ("writes_header",) if self.variant == "header_first" else ("makes_body",)

    # what an earlier boot has left, made anew

    def resets_body(self, world, me):
        world.words[BODY] = "half-made"
        return ("ends_reset",)

    def ends_reset(self, world, me):
        world.words[BODY] = "made"
        return ("writes_boot",)

    def writes_boot(self, world, me):
        world.words[HEADER] = "made"
        return ("announce_publishing",)

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
        return ("look_at_header",) if self.earlier else ("uses",)

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
        return [(world.copy(), ("look_at_header",)), (world, DONE)]

    def uses(self, world, me):
        return DONE


if __name__ == "__main__":
    report = Report()
    report.holds("three that find it or make it", Publish("ccc"), 1)
    report.long("one that makes it, two that find it", Publish("coo"), 1)
    report.holds("two that find it or make it, one that only finds it", Publish("cco"), 2)
    report.holds("one with a time limit", Publish("cct"), 1)
    report.holds("two that find what an earlier boot made", Publish("cc", earlier=True), 2)
    report.holds("three that find it, and two deaths", Publish("ccc", earlier=True), 2)
    report.long("three that make it, one with a time limit", Publish("ccct"), 1)
    report.fails("READY first, then the waking", Publish("cc", variant="ready_then_wake"), 1, "hang")
    report.fails("published unannounced", Publish("cc", variant="unannounced"), 1, "unmarked")
    report.fails("the header first", Publish("cc", variant="header_first"), 1, "used unfinished")
    report.fails("reset without a look", Publish("cc", "reset_blindly", earlier=True), 0, "used unfinished")
    report.exit()
