/* Accept whatever comes to the listeners whose descriptors are our arguments, and close what the client has closed.
 * The listeners have SO_LINGER 0, and what they accept inherits it: our close is a reset, so that nobody is left in
 * TIME_WAIT and no port is used up. We end when our standard input does. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch(int epoll, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[512];
    static char bytes[65536];
    int epoll = epoll_create1(0), last_listener = 0;
    watch(epoll, 0);
    for (int i = 1; i < argc; i++) {
        int listener = atoi(argv[i]);
        last_listener = listener > last_listener ? listener : last_listener;
        watch(epoll, listener);
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int descriptor = events[i].data.fd, accepted;
            if (descriptor == 0)
                return 0;
            if (descriptor > last_listener) {
                if (read(descriptor, bytes, sizeof bytes) <= 0)
                    close(descriptor);
            } else {
                while ((accepted = accept4(descriptor, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    watch(epoll, accepted);
            }
        }
    }
}
