/* Opens the semaphore of the name in argv[1] (O_CREAT where argv[2] is "create"), waits for one permit, posts two. */

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int creates = strcmp(argv[2], "create") == 0;
    sem_t *sem = creates ? sem_open(argv[1], O_CREAT, 0600, 1) : sem_open(argv[1], 0);
    if (sem == SEM_FAILED) {
        perror("sem_open");
        return 3;
    }
    puts("waiting");
    fflush(stdout);
    if (sem_wait(sem) || sem_post(sem) || sem_post(sem)) {
        perror("semaphore");
        return 4;
    }
    return sem_close(sem) ? 5 : 0;
}
