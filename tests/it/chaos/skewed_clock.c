/* A faulty clock, for replicas whose machine has none that is right: preloaded, it moves the wall clock by
 * CLOCK_AHEAD_SECONDS and slows the monotonic one down by CLOCK_SLOWNESS. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME)
        time->tv_sec += number("CLOCK_AHEAD_SECONDS", 0);
    if (!failed && clock == CLOCK_MONOTONIC) {
        long slowness = number("CLOCK_SLOWNESS", 1);
        long nanoseconds = (time->tv_sec % slowness) * 1000000000L + time->tv_nsec;
        time->tv_sec /= slowness;
        time->tv_nsec = nanoseconds / slowness;
    }
    return failed;
}
