/* A faulty clock, to be preloaded into a replica: shifts the wall clock by CLOCK_AHEAD_SECONDS and divides the rate of
 * the monotonic one by CLOCK_SLOWNESS. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long number(const char *name, long fallback) {
    const char *text = getenv(name);
    return text ? atol(text) : fallback;
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
