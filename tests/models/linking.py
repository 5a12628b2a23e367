"""How locks come onto a thread's robust list and off it again: src/backend/futex/thread.rs and the order in robust.rs.

The links stand in the lock words, so the kernel's walk is only as good as they are: a lock that stays on one thread's
list while another thread links it makes the first one's list lead into the other's.

A script is what a thread does: L0 locks lock 0, U0 unlocks it, P0 locks and unlocks a robust pthread mutex (a word of this
thread's own that it links and announces as libc does: libc clears list_op_pending in the end, ours with it).

Entries are taken off by the links here. In the source a record of the thread's own says where they are, which is the same
as long as nobody scribbles.

Variants, which must fail:
  pending_alone         a lock taken is covered by list_op_pending only, and linked when the next lock of ours is taken
  cleared_before_link   list_op_pending is cleared before the lock is on the list
  unannounced_release   unlocking takes the lock off the list without announcing it
  release_before_unlink unlocking frees the lock while it is still on the list
  head_before_link      linking changes the head before the lock's own link
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep


class Linking(Program):
    def __init__(self, *scripts, variant=None):
        self.scripts = [[(step[0], int(step[1])) for step in script.split()] for script in scripts]
        self.threads, self.variant = len(scripts), variant
        self.shared = 1 + max(lock for script in self.scripts for op, lock in script if op != "P")
        self.locks = self.shared + self.threads  # and libc's, one for each thread

    def words(self):
        return [FREE] * self.locks

    def first(self, me):
        return ("next_step", 0)

    def wrong(self, world):
        for lock, (owner, _, _) in enumerate(world.words):
            if owner is not None and world.at[owner] == DEAD:
                return f"unmarked: {owner} is dead and owns {lock}"
        return None

    def next_step(self, world, me, k):
        if k == len(self.scripts[me]):
            return DONE
        op, lock = self.scripts[me][k]
        if op == "L":
            if self.variant == "pending_alone":
                self.link_what_is_pending(world, me)
            return ("announce", k, lock)
        if op == "U":
            covered = self.variant == "pending_alone" and lock not in world.walk(me)
            return ("release", k, lock) if covered else ("announce_release", k, lock)
        return ("libc_announces", k, self.shared + me)

    def link_what_is_pending(self, world, me):
        lock = world.pending[me]
        if lock is not None and lock < self.shared and world.words[lock][0] == me and lock not in world.walk(me):
            world.link(me, lock)

    # lock

    def announce(self, world, me, k, lock):
        world.pending[me] = lock
        return ("look", k, lock, False)

    def look(self, world, me, k, lock, slept):
        word = owner, waiters, _ = world.words[lock]
        if owner is None:
            return ("take", k, lock, slept, word)
        return self.sleep(k, lock, slept, word) if waiters else ("mark", k, lock, slept, word)

    def take(self, world, me, k, lock, slept, word):
        if world.words[lock] != word:
            return ("look", k, lock, slept)
        world.words[lock] = (me, word[1] or slept, False)
        if self.variant == "pending_alone":
            return ("next_step", k + 1)
        return ("clear", k, lock, "link") if self.variant == "cleared_before_link" else ("link", k, lock)

    def mark(self, world, me, k, lock, slept, word):
        if world.words[lock] != word:
            return ("look", k, lock, slept)
        word = world.words[lock] = (word[0], True, word[2])
        return self.sleep(k, lock, slept, word)

    def sleep(self, k, lock, slept, word):
        return sleep(lock, word, ("slept", k, lock, slept), False)

    def slept(self, world, me, k, lock, slept, how):
        return ("look", k, lock, slept or how == "woken")

    def clear(self, world, me, k, lock, then):
        world.pending[me] = None
        return (then, k, lock)

    def link(self, world, me, k, lock):
        if self.variant == "head_before_link":
            first, world.head[me] = world.head[me], lock
            return ("link_late", k, lock, first)
        world.next[lock] = world.head[me]
        return ("link_head", k, lock)

    def link_late(self, world, me, k, lock, first):
        world.next[lock] = first
        return ("next_step", k + 1)

    def link_head(self, world, me, k, lock):
        world.head[me] = lock
        return ("next_step", k + 1)  # pending stays set

    # unlock

    def announce_release(self, world, me, k, lock):
        if self.variant != "unannounced_release":
            world.pending[me] = lock
        return ("release", k, lock) if self.variant == "release_before_unlink" else ("unlink", k, lock)

    def unlink(self, world, me, k, lock):
        world.unlink(me, lock)
        return ("released", k, lock) if self.variant == "release_before_unlink" else ("release", k, lock)

    def release(self, world, me, k, lock):
        _, waiters, _ = world.words[lock]
        world.words[lock] = (None, waiters, False)
        then = "unlink" if self.variant == "release_before_unlink" else "released"
        return ("wake_one", k, lock, then) if waiters else (then, k, lock)

    def wake_one(self, world, me, k, lock, then):
        return [
            (after, (then, k, lock) if woken else ("clear_and_wake_all", k, lock, then))
            for after, woken in world.wake(lock, 1)
        ]

    def clear_and_wake_all(self, world, me, k, lock, then):
        owner, _, died = world.words[lock]
        world.words[lock] = (owner, False, died)
        return [(after, (then, k, lock)) for after, _ in world.wake(lock, ALL)]

    def released(self, world, me, k, lock):
        world.pending[me] = None
        return ("next_step", k + 1)

    # libc's robust mutex, which nobody else wants

    def libc_announces(self, world, me, k, lock):
        world.pending[me] = lock
        return ("libc_takes", k, lock)

    def libc_takes(self, world, me, k, lock):
        world.words[lock] = (me, False, False)
        return ("libc_links", k, lock)

    def libc_links(self, world, me, k, lock):
        world.link(me, lock)
        return ("clear", k, lock, "libc_announces_release")

    def libc_announces_release(self, world, me, k, lock):
        world.pending[me] = lock
        return ("libc_unlinks", k, lock)

    def libc_unlinks(self, world, me, k, lock):
        world.unlink(me, lock)
        return ("libc_releases", k, lock)

    def libc_releases(self, world, me, k, lock):
        world.words[lock] = FREE
        return ("released", k, lock)


if __name__ == "__main__":
    report = Report()
    nested, crossed, single = "L0 L1 U1 U0", "L0 L1 U0 U1", "L0 U0 L1 U1"
    report.holds("two locks, the newer one unlocked first", Linking(nested, nested), 2)
    report.holds("two locks, the older one unlocked first", Linking(crossed, single), 2)
    report.holds("three locks, the middle one unlocked first", Linking("L0 L1 L2 U1 U0 U2", single), 1)
    report.holds("three threads", Linking(crossed, "L0 U0", "L1 U1"), 1)
    report.holds("a robust pthread mutex while ours is held", Linking("L0 P0 U0", "L0 U0 L1 U1"), 2)
    report.long("three threads with two locks each", Linking(crossed, nested, single), 1)

    report.fails("pending alone, the older one unlocked first", Linking(crossed, single, variant="pending_alone"), 1, "unmarked")
    report.fails("pending alone, a pthread mutex meanwhile", Linking("L0 P0 U0", single, variant="pending_alone"), 1, "unmarked")
    report.fails("pending cleared, then linked", Linking(nested, single, variant="cleared_before_link"), 1, "unmarked")
    report.fails("unlocking unannounced", Linking(nested, single, variant="unannounced_release"), 1, "unmarked")
    report.fails("freed, then unlinked", Linking(nested, single, variant="release_before_unlink"), 1, "unmarked")
    report.fails("the head, then the link", Linking(nested, single, variant="head_before_link"), 1, "unmarked")
    report.exit()
