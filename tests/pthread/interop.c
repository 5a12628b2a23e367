/* Takes a mutex of pshared's in a region that it maps by itself.
 *
 * usage: interop FILE OFFSET-OF-THE-MUTEX OFFSET-OF-A-NUMBER, then a command a line:
 *   add N    takes the mutex N times and adds 1 to the number
 *   lock     takes it; answers "clean", or "died" where the last owner died (and makes it consistent)
 *   unlock   gives it back
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *call, int error)
{
    printf("%s: %s\n", call, strerror(error));
    exit(1);
}

/* In slices: if a waiter beside this one is killed at the wrong moment, nobody wakes it. */
static const char *take(pthread_mutex_t *mutex)
{
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        int error = pthread_mutex_timedlock(mutex, &until);
        switch (error) {
        case 0:
            return "clean";
        case ETIMEDOUT:
            break;
        case EOWNERDEAD:
            error = pthread_mutex_consistent(mutex);
            if (error)
                fail("pthread_mutex_consistent", error);
            *(volatile uint64_t *)(mutex + 1) = 0; /* who had it before */
            return "died";
        default:
            fail("pthread_mutex_timedlock", error);
        }
    }
}

static void give(pthread_mutex_t *mutex)
{
    int error = pthread_mutex_unlock(mutex);
    if (error)
        fail("pthread_mutex_unlock", error);
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, 9);
    alarm(60);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 4)
        fail("arguments", EINVAL);
    int file = open(argv[1], O_RDWR);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        fail(argv[1], errno);
    char *region = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (region == MAP_FAILED)
        fail("mmap", errno);
    pthread_mutex_t *mutex = (pthread_mutex_t *)(region + strtoul(argv[2], NULL, 10));
    volatile uint64_t *number = (volatile uint64_t *)(region + strtoul(argv[3], NULL, 10));

    char line[80];
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "add ", 4) == 0) {
            for (long left = strtol(line + 4, NULL, 10); left > 0; left--) {
                if (strcmp(take(mutex), "clean") != 0)
                    fail("a death that wasn't", EOWNERDEAD);
                *number = *number + 1;
                give(mutex);
            }
            puts("added");
        } else if (strcmp(line, "lock\n") == 0) {
            puts(take(mutex));
        } else if (strcmp(line, "unlock\n") == 0) {
            give(mutex);
            puts("unlocked");
        } else {
            fail(line, EINVAL);
        }
    }
    return 0;
}
