/*
 * Does misuse end in an error, and nothing else? Every function, with every kind of mistake that C
 * can express. It runs under valgrind, too.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/un.h>

#include "link.h"

static int rows, failures;
static minitcp_stack *stack;
static struct sockaddr_in own, peer;
static struct link net;

static int open_socket(int domain, int type)
{
    int fd = minitcp_stack_socket(stack, domain, type, 0);
    CHECK(fd >= 3);
    return fd;
}

/* Every call on `fd` fails with `code`, before it looks at anything else. */
static void bad_descriptor(int fd, int code)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    char data[4] = "";
    int number = 0;
    FAILS(minitcp_bind(fd, SOCKADDR(own), sizeof own), code);
    FAILS(minitcp_bind(fd, NULL, 0), code);
    FAILS(minitcp_listen(fd, 1), code);
    FAILS(minitcp_accept(fd, NULL, NULL), code);
    FAILS(minitcp_accept(fd, SOCKADDR(name), &len), code);
    FAILS(minitcp_connect(fd, SOCKADDR(peer), sizeof peer), code);
    FAILS(minitcp_shutdown(fd, SHUT_RDWR), code);
    FAILS(minitcp_shutdown(fd, 77), code);
    FAILS(minitcp_close(fd), code);
    FAILS(minitcp_dup(fd), code);
    FAILS(minitcp_send(fd, data, sizeof data, 0), code);
    FAILS(minitcp_send(fd, NULL, 1, 0), code);
    FAILS(minitcp_sendto(fd, data, sizeof data, 0, SOCKADDR(peer), sizeof peer), code);
    FAILS(minitcp_recv(fd, data, sizeof data, 0), code);
    FAILS(minitcp_recv(fd, NULL, 1, 0), code);
    FAILS(minitcp_recvfrom(fd, data, sizeof data, 0, SOCKADDR(name), &len), code);
    FAILS(minitcp_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &number, sizeof number), code);
    FAILS(minitcp_setsockopt(fd, SOL_SOCKET, -1, NULL, 0), code);
    FAILS(minitcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &len), code);
    FAILS(minitcp_getsockname(fd, SOCKADDR(name), &len), code);
    FAILS(minitcp_getpeername(fd, SOCKADDR(name), &len), code);
    FAILS(minitcp_fcntl(fd, F_GETFL, 0), code);
    FAILS(minitcp_fcntl(fd, F_SETFL, O_NONBLOCK), code);
    FAILS(minitcp_ioctl(fd, FIONREAD, &number), code);
    FAILS(minitcp_ioctl(fd, FIONBIO, NULL), code);
    struct pollfd entry = { fd, POLLIN, 0 };
    if (fd >= 0) {
        GIVES(minitcp_poll(&entry, 1, 1000), 1);
        GIVES(entry.revents, POLLNVAL);
    } else {
        GIVES(minitcp_poll(&entry, 1, 0), 0);
        GIVES(entry.revents, 0);
    }
}

static void descriptors(void)
{
    int closed = open_socket(AF_INET, SOCK_STREAM);
    CHECK(minitcp_close(closed) == 0);
    const int bad[] = { -1, 0, 1, 2, INT_MIN, INT_MAX, 65538, 65539, closed };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        bad_descriptor(bad[i], EBADF);

    /* Of a stack that is gone. */
    minitcp_stack *other = new_stack("10.0.0.7", 7);
    int left = minitcp_stack_socket(other, AF_INET, SOCK_DGRAM, 0);
    CHECK(left >= 3 && minitcp_stack_free(other) == 0);
    bad_descriptor(left, EBADF);
}

static void addresses(void)
{
    int fd = open_socket(AF_INET, SOCK_STREAM), udp = open_socket(AF_INET, SOCK_DGRAM);
    int six = open_socket(AF_INET6, SOCK_STREAM);
    struct sockaddr_in6 own6 = ipv6("fd00::1", 80);
    struct sockaddr_in elsewhere = ipv4("10.9.9.9", 80);
    struct sockaddr_in any_port = ipv4("10.0.0.2", 0);
    struct sockaddr_un local;
    memset(&local, 0, sizeof local);
    local.sun_family = AF_UNIX;
    struct sockaddr unspecified;
    memset(&unspecified, 0, sizeof unspecified);
    struct sockaddr_storage large;
    memset(&large, 0, sizeof large);
    memcpy(&large, &own, sizeof own);

    FAILS(minitcp_bind(fd, NULL, sizeof own), EFAULT);
    FAILS(minitcp_bind(fd, NULL, 0), EINVAL);
    FAILS(minitcp_bind(fd, NULL, 129), EINVAL);
    FAILS(minitcp_bind(fd, SOCKADDR(large), 129), EINVAL);
    FAILS(minitcp_bind(fd, SOCKADDR(large), (socklen_t)-1), EINVAL);
    FAILS(minitcp_bind(fd, SOCKADDR(own6), sizeof own6), EAFNOSUPPORT);
    FAILS(minitcp_bind(fd, SOCKADDR(local), sizeof local), EAFNOSUPPORT);
    FAILS(minitcp_bind(fd, SOCKADDR(unspecified), sizeof unspecified), EAFNOSUPPORT);
    FAILS(minitcp_bind(fd, SOCKADDR(elsewhere), sizeof elsewhere), EADDRNOTAVAIL);
    FAILS(minitcp_bind(six, SOCKADDR(own), sizeof own), EAFNOSUPPORT);
    FAILS(minitcp_connect(fd, NULL, sizeof peer), EFAULT);
    FAILS(minitcp_connect(fd, NULL, 0), EINVAL);
    FAILS(minitcp_connect(fd, SOCKADDR(peer), 129), EINVAL);
    FAILS(minitcp_connect(fd, SOCKADDR(own6), sizeof own6), EAFNOSUPPORT);
    FAILS(minitcp_connect(fd, SOCKADDR(local), sizeof local), EAFNOSUPPORT);
    FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(peer), 0), EINVAL);
    FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(peer), 129), EINVAL);
    FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(own6), sizeof own6), EAFNOSUPPORT);
    FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(unspecified), sizeof unspecified), EAFNOSUPPORT);
    FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(any_port), sizeof any_port), EINVAL);
    FAILS(minitcp_sendto(udp, "x", 1, 0, NULL, sizeof peer), EDESTADDRREQ);
    for (socklen_t len = 0; len < sizeof own; len++) {
        FAILS(minitcp_bind(fd, SOCKADDR(own), len), EINVAL);
        FAILS(minitcp_connect(fd, SOCKADDR(peer), len), EINVAL);
        FAILS(minitcp_sendto(udp, "x", 1, 0, SOCKADDR(peer), len), EINVAL);
    }
    for (socklen_t len = 0; len < 24; len++)
        FAILS(minitcp_bind(six, SOCKADDR(own6), len), EINVAL);
    GIVES(minitcp_bind(six, SOCKADDR(own6), 24), 0);
    /* As on Linux: what follows the address in a longer one does not count. */
    GIVES(minitcp_bind(fd, SOCKADDR(large), sizeof large), 0);
    FAILS(minitcp_bind(fd, SOCKADDR(own), sizeof own), EINVAL);

    struct sockaddr_in name;
    socklen_t len = sizeof name, negative = (socklen_t)-1, none = 0, few = 5;
    FAILS(minitcp_getsockname(fd, NULL, NULL), EFAULT);
    FAILS(minitcp_getsockname(fd, SOCKADDR(name), NULL), EFAULT);
    FAILS(minitcp_getsockname(fd, NULL, &len), EFAULT);
    FAILS(minitcp_getsockname(fd, SOCKADDR(name), &negative), EINVAL);
    GIVES(minitcp_getsockname(fd, NULL, &none), 0);
    GIVES(none, sizeof name);
    unsigned char cut[16];
    memset(cut, 0xee, sizeof cut);
    GIVES(minitcp_getsockname(fd, (struct sockaddr *)cut, &few), 0);
    GIVES(few, sizeof name);
    GIVES(cut[4], 10);
    GIVES(cut[5], 0xee);
    FAILS(minitcp_getpeername(fd, NULL, NULL), EFAULT);
    FAILS(minitcp_getpeername(fd, SOCKADDR(name), NULL), EFAULT);
    FAILS(minitcp_getpeername(fd, SOCKADDR(name), &negative), EINVAL);
    FAILS(minitcp_getpeername(fd, SOCKADDR(name), &len), ENOTCONN);

    /* An error takes nothing from the listener's queue, and asks for the room first. */
    CHECK(minitcp_listen(fd, 1) == 0);
    FAILS(minitcp_accept(fd, SOCKADDR(name), NULL), EFAULT);
    FAILS(minitcp_accept(fd, NULL, &len), EAGAIN);
    FAILS(minitcp_accept(fd, SOCKADDR(name), &negative), EINVAL);
    FAILS(minitcp_accept(fd, SOCKADDR(name), &len), EAGAIN);
    CHECK(minitcp_close(fd) == 0 && minitcp_close(udp) == 0 && minitcp_close(six) == 0);
}

/* `pair` is connected, and `pair[1]` has something to read. */
static void data(const int pair[2])
{
    char buffer[8];
    struct sockaddr_in name;
    socklen_t len = sizeof name, negative = (socklen_t)-1;
    FAILS(minitcp_send(pair[0], NULL, 1, 0), EFAULT);
    FAILS(minitcp_send(pair[0], NULL, SIZE_MAX, 0), EFAULT);
    GIVES(minitcp_send(pair[0], NULL, 0, 0), 0);
    FAILS(minitcp_sendto(pair[0], NULL, 1, 0, NULL, 0), EFAULT);
    FAILS(minitcp_recv(pair[1], NULL, 1, 0), EFAULT);
    FAILS(minitcp_recv(pair[1], NULL, SIZE_MAX, 0), EFAULT);
    FAILS(minitcp_recv(pair[1], NULL, 1, MSG_OOB), EFAULT);
    FAILS(minitcp_recv(pair[1], buffer, sizeof buffer, MSG_OOB), EINVAL);
    GIVES(minitcp_sockatmark(pair[1]), 0);
    FAILS(minitcp_sockatmark(-1), EBADF);
    FAILS(minitcp_recvfrom(pair[1], buffer, 1, 0, SOCKADDR(name), NULL), EFAULT);
    FAILS(minitcp_recvfrom(pair[1], buffer, 1, 0, SOCKADDR(name), &negative), EINVAL);
    GIVES(minitcp_recv(pair[1], NULL, 0, 0), 0);
    /* Nothing of what failed has taken anything. */
    GIVES(minitcp_recvfrom(pair[1], buffer, 1, 0, NULL, &len), 1);
    GIVES(buffer[0], 'a');
    GIVES(minitcp_recv(pair[1], buffer, sizeof buffer, 0x7ff00000), 2);
    FAILS(minitcp_recv(pair[1], buffer, sizeof buffer, 0), EAGAIN);
    FAILS(minitcp_recv(pair[1], buffer, sizeof buffer, MSG_WAITALL), EAGAIN);
}

static void states(const int pair[2])
{
    int fd = open_socket(AF_INET, SOCK_STREAM), udp = open_socket(AF_INET, SOCK_DGRAM);
    char buffer[4];
    FAILS(minitcp_send(fd, "x", 1, 0), EPIPE);
    FAILS(minitcp_recv(fd, buffer, sizeof buffer, 0), ENOTCONN);
    FAILS(minitcp_shutdown(fd, SHUT_WR), ENOTCONN);
    FAILS(minitcp_accept(fd, NULL, NULL), EINVAL);
    FAILS(minitcp_listen(udp, 1), EOPNOTSUPP);
    FAILS(minitcp_accept(udp, NULL, NULL), EOPNOTSUPP);
    FAILS(minitcp_send(udp, "x", 1, 0), EDESTADDRREQ);
    FAILS(minitcp_recv(udp, buffer, sizeof buffer, 0), EAGAIN);
    FAILS(minitcp_connect(pair[0], SOCKADDR(peer), sizeof peer), EISCONN);
    FAILS(minitcp_listen(pair[0], 1), EINVAL);
    FAILS(minitcp_accept(pair[0], NULL, NULL), EINVAL);
    FAILS(minitcp_bind(pair[0], SOCKADDR(own), sizeof own), EINVAL);
    FAILS(minitcp_shutdown(pair[0], 3), EINVAL);
    FAILS(minitcp_shutdown(pair[0], -1), EINVAL);
    CHECK(minitcp_bind(fd, SOCKADDR(own), sizeof own) == 0);
    GIVES(minitcp_listen(fd, -1), 0);
    GIVES(minitcp_listen(fd, INT_MAX), 0);
    GIVES(minitcp_listen(fd, INT_MIN), 0);
    FAILS(minitcp_connect(fd, SOCKADDR(peer), sizeof peer), EISCONN);
    FAILS(minitcp_recv(fd, buffer, sizeof buffer, 0), ENOTCONN);
    FAILS(minitcp_send(fd, "x", 1, 0), EPIPE);
    int second = open_socket(AF_INET, SOCK_STREAM);
    FAILS(minitcp_bind(second, SOCKADDR(own), sizeof own), EADDRINUSE);
    CHECK(minitcp_close(fd) == 0 && minitcp_close(udp) == 0 && minitcp_close(second) == 0);
}

/* Levels and names that nobody has, all values that are too short, and some beyond their range. */
static void options(const int pair[2])
{
    static const struct {
        int level, name;
        socklen_t size;
    } known[] = {
        { SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval) },
        { SOL_SOCKET, SO_SNDTIMEO, sizeof(struct timeval) },
        { SOL_SOCKET, SO_LINGER, sizeof(struct linger) },
        { SOL_SOCKET, SO_REUSEADDR, sizeof(int) },
        { SOL_SOCKET, SO_REUSEPORT, sizeof(int) },
        { SOL_SOCKET, SO_RCVBUF, sizeof(int) },
        { SOL_SOCKET, SO_SNDBUF, sizeof(int) },
        { SOL_SOCKET, SO_KEEPALIVE, sizeof(int) },
        { SOL_SOCKET, SO_BROADCAST, sizeof(int) },
        { SOL_SOCKET, SO_RCVLOWAT, sizeof(int) },
        { IPPROTO_TCP, TCP_CONGESTION, 1 },
        { IPPROTO_TCP, TCP_NODELAY, sizeof(int) },
        { IPPROTO_TCP, TCP_CORK, sizeof(int) },
        { IPPROTO_TCP, TCP_QUICKACK, sizeof(int) },
        { IPPROTO_TCP, TCP_MAXSEG, sizeof(int) },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, sizeof(int) },
        { IPPROTO_TCP, TCP_KEEPIDLE, sizeof(int) },
        { IPPROTO_TCP, TCP_KEEPINTVL, sizeof(int) },
        { IPPROTO_TCP, TCP_KEEPCNT, sizeof(int) },
        { IPPROTO_TCP, TCP_DEFER_ACCEPT, sizeof(int) },
        { IPPROTO_IP, IP_TTL, 1 },
        { IPPROTO_IP, IP_TOS, 1 },
    };
    int fd = pair[0];
    union {
        int number;
        char octets[512];
    } value;
    memset(&value, 0, sizeof value);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int level = known[i].level, name = known[i].name;
        socklen_t negative = (socklen_t)-1, some = sizeof value;
        for (socklen_t len = 0; len < known[i].size; len++)
            FAILS(minitcp_setsockopt(fd, level, name, &value, len), EINVAL);
        FAILS(minitcp_setsockopt(fd, level, name, NULL, known[i].size), EFAULT);
        FAILS(minitcp_setsockopt(fd, level, name, &value, (socklen_t)-1), EINVAL);
        FAILS(minitcp_setsockopt(fd, level, name, NULL, (socklen_t)INT_MIN), EINVAL);
        FAILS(minitcp_getsockopt(fd, level, name, &value, NULL), EFAULT);
        FAILS(minitcp_getsockopt(fd, level, name, NULL, NULL), EFAULT);
        FAILS(minitcp_getsockopt(fd, level, name, NULL, &some), EFAULT);
        FAILS(minitcp_getsockopt(fd, level, name, &value, &negative), EINVAL);
        for (socklen_t room = 0; room < known[i].size; room++) {
            socklen_t len = room;
            memset(&value, 0xee, sizeof value);
            GIVES(minitcp_getsockopt(fd, level, name, room == 0 ? NULL : &value, &len), 0);
            GIVES(len, room);
            GIVES((unsigned char)value.octets[room], 0xee);
        }
        memset(&value, 0, sizeof value);
    }

    static const int readable[] = { SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN };
    for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++)
        FAILS(minitcp_setsockopt(fd, SOL_SOCKET, readable[i], &value, sizeof(int)), ENOPROTOOPT);
    FAILS(minitcp_setsockopt(fd, IPPROTO_TCP, TCP_INFO, &value, sizeof value), ENOPROTOOPT);

    static const int levels[] = { -1, INT_MIN, INT_MAX, 77, IPPROTO_UDP };
    static const int names[] = { -1, 0, INT_MIN, INT_MAX, 9999 };
    socklen_t len = sizeof value;
    for (size_t i = 0; i < 5; i++) {
        FAILS(minitcp_setsockopt(fd, levels[i], SO_KEEPALIVE, &value, sizeof(int)), ENOPROTOOPT);
        FAILS(minitcp_getsockopt(fd, levels[i], SO_KEEPALIVE, &value, &len), ENOPROTOOPT);
        FAILS(minitcp_setsockopt(fd, SOL_SOCKET, names[i], &value, sizeof(int)), ENOPROTOOPT);
        FAILS(minitcp_getsockopt(fd, IPPROTO_TCP, names[i], &value, &len), ENOPROTOOPT);
        FAILS(minitcp_getsockopt(fd, IPPROTO_IPV6, names[i], &value, &len), ENOPROTOOPT);
    }
    int udp = open_socket(AF_INET, SOCK_DGRAM);
    FAILS(minitcp_setsockopt(udp, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(int)), ENOPROTOOPT);
    FAILS(minitcp_getsockopt(udp, IPPROTO_TCP, TCP_INFO, &value, &len), ENOPROTOOPT);
    CHECK(minitcp_close(udp) == 0);

    struct timeval odd = { 0, 1000000 };
    FAILS(minitcp_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &odd, sizeof odd), EDOM);
    odd.tv_usec = -1;
    FAILS(minitcp_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &odd, sizeof odd), EDOM);
    FAILS(minitcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubi", 4), ENOENT);
    memset(&value, 'r', sizeof value);
    FAILS(minitcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, &value, sizeof value), ENOENT);
    static const int extremes[] = { INT_MIN, -1, INT_MAX };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].size != sizeof(int))
            continue;
        for (int j = 0; j < 3; j++) {
            value.number = extremes[j];
            errno = 0;
            int result = minitcp_setsockopt(fd, known[i].level, known[i].name, &value, sizeof(int));
            rows++;
            CHECK(result == 0 || (result == -1 && errno == EINVAL));
        }
    }
}

static void modes(const int pair[2])
{
    int number = 0;
    FAILS(minitcp_fcntl(pair[0], F_DUPFD, 0), EINVAL);
    FAILS(minitcp_fcntl(pair[0], -1, 0), EINVAL);
    FAILS(minitcp_fcntl(pair[0], INT_MAX, INT_MIN), EINVAL);
    FAILS(minitcp_ioctl(pair[0], 0, &number), ENOTTY);
    FAILS(minitcp_ioctl(pair[0], ULONG_MAX, NULL), ENOTTY);
    FAILS(minitcp_ioctl(pair[0], FIONREAD, NULL), EFAULT);
    FAILS(minitcp_ioctl(pair[0], TIOCOUTQ, NULL), EFAULT);
    FAILS(minitcp_ioctl(pair[0], FIONBIO, NULL), EFAULT);
    int listener = open_socket(AF_INET, SOCK_STREAM);
    CHECK(minitcp_listen(listener, 1) == 0);
    FAILS(minitcp_ioctl(listener, FIONREAD, &number), EINVAL);
    FAILS(minitcp_ioctl(listener, TIOCOUTQ, &number), EINVAL);
    CHECK(minitcp_close(listener) == 0);

    struct pollfd entry = { pair[0], (short)0xffff, 0 };
    FAILS(minitcp_poll(NULL, 1, 0), EFAULT);
    FAILS(minitcp_poll(NULL, 1, -1), EFAULT);
    FAILS(minitcp_poll(&entry, 65537, 0), EINVAL);
    FAILS(minitcp_poll(NULL, (nfds_t)-1, 0), EINVAL);
    FAILS(minitcp_poll(&entry, (nfds_t)-1, 0), EINVAL);
    GIVES(minitcp_poll(&entry, 1, INT_MIN), 1);
    entry.events = 0;
    GIVES(minitcp_poll(&entry, 1, INT_MAX), 0);
}

/* Data and structures on odd addresses. */
static void unaligned(const int pair[2])
{
    char room[64];
    memset(room, 0, sizeof room);
    socklen_t *len = (socklen_t *)(void *)(room + 33);
    const socklen_t sixteen = sizeof own;
    memcpy(room + 33, &sixteen, sizeof sixteen);
    GIVES(minitcp_getsockname(pair[0], (struct sockaddr *)(void *)(room + 1), len), 0);
    GIVES(room[5], 10);
    int one = 1;
    memcpy(room + 1, &one, sizeof one);
    GIVES(minitcp_setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, room + 1, sizeof one), 0);
    struct pollfd entry = { pair[0], POLLOUT, 0 };
    memcpy(room + 1, &entry, sizeof entry);
    GIVES(minitcp_poll((struct pollfd *)(void *)(room + 1), 1, 0), 1);
    memcpy(&entry, room + 1, sizeof entry);
    GIVES(entry.revents, POLLOUT);
    GIVES(minitcp_ioctl(pair[0], FIONREAD, (int *)(void *)(room + 3)), 0);
}

static void sockets(void)
{
    FAILS(minitcp_stack_socket(NULL, AF_INET, SOCK_STREAM, 0), EFAULT);
    FAILS(minitcp_stack_socket(stack, AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(minitcp_stack_socket(stack, -1, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(minitcp_stack_socket(stack, AF_INET, SOCK_RAW, 0), ESOCKTNOSUPPORT);
    FAILS(minitcp_stack_socket(stack, AF_INET, 0, 0), ESOCKTNOSUPPORT);
    FAILS(minitcp_stack_socket(stack, AF_INET, INT_MIN, 0), ESOCKTNOSUPPORT);
    FAILS(minitcp_stack_socket(stack, AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(minitcp_stack_socket(stack, AF_INET, SOCK_DGRAM, -1), EPROTONOSUPPORT);
}

static void stacks(void)
{
    unsigned char packet[1500];
    uint64_t when = 5;
    memset(packet, 0xff, sizeof packet);
    minitcp_stack *gone = new_stack("10.0.0.7", 7);
    minitcp_stack *made_up[] = { gone, (void *)-1, (void *)&when };
    CHECK(minitcp_stack_free(gone) == 0);
    for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        minitcp_stack *bad = made_up[i];
        FAILS(minitcp_stack_free(bad), EBADF);
        FAILS(minitcp_stack_socket(bad, AF_INET, SOCK_STREAM, 0), EBADF);
        FAILS(minitcp_stack_input(bad, packet, sizeof packet, 0), EBADF);
        FAILS(minitcp_stack_output(bad, packet, sizeof packet, 0, &when), EBADF);
        FAILS(minitcp_stack_advance(bad, 0), EBADF);
        errno = 0;
        GIVES(minitcp_stack_deadline(bad), MINITCP_NEVER);
        GIVES(errno, EBADF);
    }
    GIVES(when, 5);
    FAILS(minitcp_stack_free(NULL), EFAULT);
    FAILS(minitcp_stack_input(NULL, packet, sizeof packet, 0), EFAULT);
    FAILS(minitcp_stack_output(NULL, packet, sizeof packet, 0, &when), EFAULT);
    FAILS(minitcp_stack_advance(NULL, 0), EFAULT);
    errno = 0;
    GIVES(minitcp_stack_deadline(NULL), MINITCP_NEVER);
    GIVES(errno, EFAULT);

    minitcp_stack *good = new_stack("10.0.0.7", 7);
    FAILS(minitcp_stack_input(good, NULL, 1, 0), EFAULT);
    GIVES(minitcp_stack_input(good, NULL, 0, 0), 0);
    for (size_t len = 0; len <= sizeof packet; len += 1 + len / 8)
        GIVES(minitcp_stack_input(good, packet, len, 0), 0);
    packet[0] = 0x45;
    for (size_t len = 0; len <= sizeof packet; len += 1 + len / 8)
        GIVES(minitcp_stack_input(good, packet, len, 0), 0);
    FAILS(minitcp_stack_output(good, NULL, 1500, 0, &when), EFAULT);
    FAILS(minitcp_stack_output(good, NULL, 0, 0, &when), EMSGSIZE);
    FAILS(minitcp_stack_output(good, packet, 1499, 0, &when), EMSGSIZE);
    GIVES(minitcp_stack_output(good, packet, 1500, UINT64_MAX, NULL), 0);
    GIVES(minitcp_stack_advance(good, UINT64_MAX), 0);
    int fd = minitcp_stack_socket(good, AF_INET, SOCK_STREAM, 0);
    FAILS(minitcp_connect(fd, SOCKADDR(own), sizeof own), EINPROGRESS); /* At the end of time. */
    CHECK(minitcp_stack_output(good, packet, 1500, UINT64_MAX, &when) > 0);
    CHECK(minitcp_stack_output(good, packet, 1500, UINT64_MAX, &when) >= 0);
    CHECK(minitcp_stack_free(good) == 0);
    FAILS(minitcp_stack_free(good), EBADF);
}

static void refused_config(const struct minitcp_config *config, int code)
{
    errno = 0;
    GIVES((intptr_t)minitcp_stack_new(config), 0);
    GIVES(errno, code);
    FAILS(minitcp_init_with("misuse0", config), code);
}

static void configs(void)
{
    struct minitcp_config good, bad;
    memset(&good, 0, sizeof good);
    good.size = sizeof good;
    good.addresses = "10.0.0.1/24";
    refused_config(NULL, EFAULT);

    /* Every size but the right one, with a text where half a pointer would be read. */
    for (size_t size = 0; size < 2 * sizeof good; size++) {
        bad = good;
        bad.kernel_address = "10.0.0.2/24";
        bad.size = size;
        if (size != sizeof good)
            refused_config(&bad, EINVAL);
    }
    bad = good;
    bad.size = SIZE_MAX;
    refused_config(&bad, EINVAL);
    bad = good;
    bad.addresses = NULL;
    refused_config(&bad, EFAULT);
    static const char *const texts[] = {
        "", ",", "lots", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/24,", "10.0.0/24",
        "0.0.0.0/0", "224.0.0.1", "fd00::1/129", "ff02::1", "10.0.0.1/24/24", "\xff\xfe",
        "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9",
        "255.255.255.255", "10.0.0.1,10.0.0.1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bad = good;
        bad.addresses = texts[i];
        refused_config(&bad, EINVAL);
    }
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        bad = good;                                                                                \
        bad.field = (value);                                                                       \
        refused_config(&bad, EINVAL);                                                              \
    } while (0)
    REFUSED(mtu, 575);
    REFUSED(mtu, 65536);
    REFUSED(mtu, UINT32_MAX);
    REFUSED(connections, (1u << 20) + 1);
    REFUSED(listeners, (1u << 16) + 1);
    REFUSED(udp_sockets, (1u << 16) + 1);
    REFUSED(buffer_bytes, (UINT64_C(1) << 32) + 1);
    REFUSED(receive_buffer, (1u << 30) + 1);
    REFUSED(send_buffer, UINT32_MAX);
    REFUSED(largest_receive_buffer, (1u << 30) + 1);
    REFUSED(largest_send_buffer, (1u << 30) + 1);
    REFUSED(without, 16);
    REFUSED(delayed_ack_ms, 500);
    REFUSED(initial_rto_ms, 60001);
    REFUSED(min_rto_ms, 60001);
    REFUSED(max_rto_ms, 199); /* Less than the least one is without being set. */
    REFUSED(congestion, "cubi");
    REFUSED(congestion, "");

    /* The least of everything works. */
    bad = good;
    bad.mtu = 576;
    bad.receive_buffer = bad.send_buffer = bad.connections = bad.listeners = bad.udp_sockets = 1;
    bad.buffer_bytes = 1;
    minitcp_stack *small = minitcp_stack_new(&bad);
    CHECK(small != NULL);
    int fd = minitcp_stack_socket(small, AF_INET, SOCK_STREAM, 0);
    errno = 0;
    FAILS(minitcp_connect(fd, SOCKADDR(peer), sizeof peer), EINPROGRESS);
    CHECK(minitcp_stack_free(small) == 0);
}

/* All the descriptors and all the stacks there are, and one more of each. */
static void limits(void)
{
    int fd, last = -1, count = 0;
    while ((fd = minitcp_stack_socket(stack, AF_INET, SOCK_DGRAM, 0)) != -1) {
        last = fd;
        count++;
    }
    GIVES(errno, EMFILE);
    GIVES(last, 65538);
    FAILS(minitcp_dup(last), EMFILE);
    FAILS(minitcp_socket(AF_INET, SOCK_STREAM, 0), EMFILE);
    for (; count > 0; count--)
        CHECK(minitcp_close(last--) == 0);

    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = "10.0.0.1/24";
    config.connections = config.listeners = config.udp_sockets = 1;
    config.buffer_bytes = 4096;
    minitcp_stack *many[4096];
    while (count < 4096 && (many[count] = minitcp_stack_new(&config)) != NULL)
        count++;
    GIVES(count, 4095); /* One more is there since the beginning. */
    GIVES(errno, EMFILE);
    while (count > 0)
        CHECK(minitcp_stack_free(many[--count]) == 0);
}

/* Before minitcp_init(), and what it refuses. No device is made by any of these. */
static void process_wide(void)
{
    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = "10.0.0.1/24";
    FAILS(minitcp_socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
    FAILS(minitcp_socket(AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(minitcp_socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    FAILS(minitcp_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(minitcp_udp_socket(AF_INET), ENETDOWN);
    FAILS(minitcp_udp_socket(-1), EAFNOSUPPORT);
    FAILS(minitcp_exit(0), ENETDOWN);
    FAILS(minitcp_exit(-1), ENETDOWN);
    FAILS(minitcp_init(NULL, "10.0.0.1/24"), EFAULT);
    FAILS(minitcp_init("misuse0", NULL), EFAULT);
    FAILS(minitcp_init("misuse0", "lots"), EINVAL);
    FAILS(minitcp_init("\xff", "10.0.0.1/24"), EINVAL);
    FAILS(minitcp_init("a name that is far too long", "10.0.0.1/24"), EINVAL);
    FAILS(minitcp_init("", "10.0.0.1/24"), EINVAL);
    FAILS(minitcp_init("a/b", "10.0.0.1/24"), EINVAL);
    FAILS(minitcp_init("misuse0", "10.0.0.1/24"), ENODEV); /* Nobody has made it. */
    FAILS(minitcp_init_with(NULL, &config), EFAULT);
    FAILS(minitcp_init_with("misuse0", NULL), EFAULT);
    config.kernel_address = "lots";
    FAILS(minitcp_init_with("misuse0", &config), EINVAL);
    config.kernel_address = "fd00::1/64"; /* No address of ours is its peer. */
    FAILS(minitcp_init_with("misuse0", &config), EINVAL);
}

/* Two ends of a connection; "abc" waits at the second. */
static void connect_pair(int pair[2])
{
    int listener = minitcp_stack_socket(net.ways[1].from, AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_bind(listener, SOCKADDR(peer), sizeof peer) == 0);
    CHECK(minitcp_listen(listener, 1) == 0);
    pair[0] = open_socket(AF_INET, SOCK_STREAM);
    CHECK(minitcp_connect(pair[0], SOCKADDR(peer), sizeof peer) == -1 && errno == EINPROGRESS);
    while (minitcp_send(pair[0], "abc", 3, 0) == -1)
        CHECK(errno == EAGAIN && link_step(&net));
    while (link_step(&net)) {
    }
    pair[1] = minitcp_accept(listener, NULL, NULL);
    CHECK(pair[1] >= 3 && minitcp_close(listener) == 0);
}

/* usage: misuse [--brief]: without the limits, which take long under valgrind. */
int main(int argc, char **argv)
{
    own = ipv4("10.0.0.1", 80);
    peer = ipv4("10.0.0.2", 80);
    process_wide();
    stack = new_stack("10.0.0.1/24,fd00::1/64", 1);
    descriptors();
    addresses();
    sockets();
    stacks();
    configs();
    if (argc < 2 || strcmp(argv[1], "--brief") != 0)
        limits();

    link_init(&net, stack, new_stack("10.0.0.2/24", 2));
    int pair[2];
    connect_pair(pair);
    data(pair);
    states(pair);
    modes(pair);
    unaligned(pair);
    options(pair);
    CHECK(minitcp_close(pair[0]) == 0 && minitcp_close(pair[1]) == 0);
    FAILS(minitcp_close(pair[0]), EBADF);
    CHECK(minitcp_stack_free(stack) == 0 && minitcp_stack_free(net.ways[1].from) == 0);
    printf("%d rows, %d failures\n", rows, failures);
    return failures != 0;
}
