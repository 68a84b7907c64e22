#include "tool/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

// The only mutable globals: a handler can reach nothing else.
static volatile sig_atomic_t seen;
static int event_fd = -1;

static void note_interrupt(int number)
{
    (void)number;
    int saved = errno;
    seen = 1;
    ssize_t written = write(event_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written; // full: it is readable anyhow
    errno = saved;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigaction(SIGINT, &action, NULL);
}

bool interrupt_seen(void) { return seen; }

// In this order: an interrupt between the two shows in event_fd, and one before them is over.
void interrupt_forget(void)
{
    uint64_t count;
    ssize_t bytes = read(event_fd, &count, sizeof count);
    (void)bytes; // empty
    seen = 0;
}

int interrupt_fd(void) { return event_fd; }
