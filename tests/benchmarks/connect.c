/* The contender in C: `connect_c WAY COUNT PORT HOST...`. WAY is "blocking" or "epoll", one address after the other until one
 * accepts; "at-once" and "pending" are COUNT non-blocking connects behind one epoll descriptor. COUNT "-" reads counts from
 * standard input, one a line. Prints what a Python worker prints: microseconds, or bytes, of each connect. */
#define _GNU_SOURCE
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int poller;

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static double resident(void)
{
    long all = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%ld %ld", &all, &pages) != 2)
        exit(1);
    fclose(file);
    return pages * (double)sysconf(_SC_PAGE_SIZE);
}

static struct addrinfo *look_up(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found))
        exit(1);
    return found;
}

static int begin(struct addrinfo *to, int flags)
{
    int sock = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (sock < 0)
        exit(1);
    return sock;
}

static int blocking(struct addrinfo *to)
{
    int sock = begin(to, 0), failed = connect(sock, to->ai_addr, to->ai_addrlen);
    close(sock);
    return !failed;
}

static void watch(struct addrinfo *to)
{
    struct epoll_event event = {.events = EPOLLOUT};
    event.data.fd = begin(to, SOCK_NONBLOCK);
    connect(event.data.fd, to->ai_addr, to->ai_addrlen);
    epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
}

static int finish(int sock)
{
    int error;
    socklen_t length = sizeof error;
    getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &length);
    close(sock);
    return !error;
}

static int nonblocking(struct addrinfo *to)
{
    struct epoll_event event;
    watch(to);
    epoll_wait(poller, &event, 1, -1);
    return finish(event.data.fd);
}

static void in_turn(int (*way)(struct addrinfo *), int count, char **arguments)
{
    for (int i = 0; i < count; i++) {
        int connected = 0;
        for (char **host = arguments + 1; *host && !connected; host++) {
            struct addrinfo *found = look_up(*host, arguments[0]);
            for (struct addrinfo *to = found; to && !connected; to = to->ai_next)
                connected = way(to);
            freeaddrinfo(found);
        }
        if (!connected)
            exit(1);
    }
}

static void at_once(int count, char **arguments)
{
    struct epoll_event events[512];
    int hosts = 0;
    while (arguments[1 + hosts])
        hosts++;
    for (int i = 0; i < count; i++) {
        struct addrinfo *found = look_up(arguments[1 + i % hosts], arguments[0]);
        watch(found);
        freeaddrinfo(found);
    }
    while (count > 0) {
        int ready = epoll_wait(poller, events, 512, -1);
        for (int i = 0; i < ready; i++, count--)
            finish(events[i].data.fd);
    }
}

static void pending(int count, char **arguments)
{
    double before = resident();
    struct addrinfo *found = look_up(arguments[1], arguments[0]);
    for (int i = 0; i < count; i++)
        watch(found);
    double memory = (resident() - before) / count, began = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int sock = poller + 1; sock <= poller + count; sock++)
        close(sock);
    printf("{\"memory\": %f, \"cancel\": %f}\n", memory, (now(CLOCK_PROCESS_CPUTIME_ID) - began) / 1e3);
}

static void sample(const char *way, int count, char **arguments)
{
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    if (!strcmp(way, "pending")) {
        pending(count, arguments);
        return;
    } else if (!strcmp(way, "at-once")) {
        at_once(count, arguments);
    } else {
        in_turn(strcmp(way, "epoll") ? blocking : nonblocking, count, arguments);
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu, wall = now(CLOCK_MONOTONIC) - wall;
    printf("{\"cpu\": %f, \"wall\": %f}\n", cpu / count, wall / count);
}

int main(int argc, char **argv)
{
    char line[32];
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (argc < 5)
        return 2;
    if (strcmp(argv[2], "-"))
        sample(argv[1], atoi(argv[2]), argv + 3);
    else
        while (fgets(line, sizeof line, stdin)) {
            sample(argv[1], atoi(line), argv + 3);
            fflush(stdout);
        }
    return 0;
}
