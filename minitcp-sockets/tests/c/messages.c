/*
 * Are calls on several buffers one call? Streams and datagrams between two stacks, from many
 * pieces into others, and what sendmsg() and recvmsg() refuse.
 */
#define _GNU_SOURCE

#include <netinet/tcp.h>
#include <sys/uio.h>

#include "link.h"

static struct link net;
static int rows, failures;

static struct iovec piece(const void *at, size_t len)
{
    struct iovec buffer = { (void *)(uintptr_t)at, len };
    return buffer;
}

static void settle(void)
{
    while (link_step(&net)) {
    }
}

static void streams(void)
{
    int pair[2];
    link_connect(&net, pair);
    char first[3], rest[16];
    struct iovec out[4] = { piece("he", 2), piece(NULL, 0), piece("l", 1), piece("lo, you", 7) };
    struct iovec in[3] = { piece(first, sizeof first), piece(NULL, 0), piece(rest, sizeof rest) };

    FAILS(minitcp_readv(pair[1], in, 3), EAGAIN);
    GIVES(minitcp_writev(pair[0], out, 4), 10);
    settle();
    GIVES(minitcp_readv(pair[1], in, 3), 10);
    CHECK(memcmp(first, "hel", 3) == 0 && memcmp(rest, "lo, you", 7) == 0);

    /* A name is for datagrams: a connected stream passes over it, as Linux's does. */
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = out;
    message.msg_iovlen = 4;
    GIVES(minitcp_sendmsg(pair[0], &message, MSG_NOSIGNAL), 10);
    settle();
    struct sockaddr_storage name;
    memset(&message, 0, sizeof message);
    message.msg_name = &name;
    message.msg_namelen = sizeof name;
    message.msg_iov = in;
    message.msg_iovlen = 3;
    message.msg_flags = -1;
    GIVES(minitcp_recvmsg(pair[1], &message, MSG_PEEK), 10);
    CHECK(message.msg_flags == 0 && message.msg_namelen == 0 && message.msg_controllen == 0);
    message.msg_iovlen = 1;
    GIVES(minitcp_recvmsg(pair[1], &message, 0), 3);
    CHECK(message.msg_flags == 0); /* What is left of a stream comes later, and is not cut. */
    GIVES(minitcp_readv(pair[1], in + 2, 1), 7);

    /* More than fits is sent in part, and the part is the front. */
    static char many[1 << 20], back[1 << 20];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (char)(i * 7 + (i >> 8));
    struct iovec halves[2] = { piece(many, 1 << 19), piece(many + (1 << 19), 1 << 19) };
    ssize_t sent = minitcp_writev(pair[0], halves, 2);
    CHECK(sent > 1 << 16 && (size_t)sent < sizeof many);
    ssize_t received = 0;
    while (received < sent) {
        struct iovec into[2] = { piece(back + received, 1), piece(back + received + 1, 999) };
        ssize_t count = minitcp_readv(pair[1], into, 2);
        if (count == -1)
            CHECK(errno == EAGAIN && link_step(&net));
        else
            received += count;
    }
    CHECK(received == sent && memcmp(many, back, (size_t)sent) == 0);

    GIVES(minitcp_writev(pair[0], out, 0), 0);
    CHECK(minitcp_shutdown(pair[0], SHUT_WR) == 0);
    settle();
    GIVES(minitcp_readv(pair[1], in, 3), 0);
    FAILS(minitcp_writev(pair[0], out, 4), EPIPE);
    CHECK(minitcp_close(pair[0]) == 0 && minitcp_close(pair[1]) == 0);
}

static void datagrams(void)
{
    int a = minitcp_stack_socket(net.ways[0].from, AF_INET, SOCK_DGRAM, 0);
    int b = minitcp_stack_socket(net.ways[1].from, AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in from = ipv4("10.0.0.1", 4001), to = ipv4("10.0.0.2", 4002);
    CHECK(minitcp_bind(a, SOCKADDR(from), sizeof from) == 0);
    CHECK(minitcp_bind(b, SOCKADDR(to), sizeof to) == 0);

    struct iovec out[3] = { piece("one ", 4), piece("data", 4), piece("gram", 4) };
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = out;
    message.msg_iovlen = 3;
    FAILS(minitcp_sendmsg(a, &message, 0), EDESTADDRREQ);
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    GIVES(minitcp_sendmsg(a, &message, 0), 12);
    GIVES(minitcp_sendmsg(a, &message, 0), 12);
    message.msg_iovlen = 0;
    GIVES(minitcp_sendmsg(a, &message, 0), 0); /* An empty datagram is one, too. */
    settle();

    char first[5], rest[5];
    struct iovec in[2] = { piece(first, sizeof first), piece(rest, sizeof rest) };
    struct sockaddr_in peer;
    memset(&message, 0, sizeof message);
    message.msg_name = &peer;
    message.msg_namelen = sizeof peer;
    message.msg_iov = in;
    message.msg_iovlen = 2;
    GIVES(minitcp_recvmsg(b, &message, 0), 10);
    CHECK(memcmp(first, "one d", 5) == 0 && memcmp(rest, "atagr", 5) == 0);
    CHECK(message.msg_flags == MSG_TRUNC && message.msg_namelen == sizeof peer);
    CHECK(memcmp(&peer, &from, sizeof peer) == 0);
    /* With MSG_TRUNC the length that it had, and a name that is cut where there is no room. */
    memset(&peer, 0, sizeof peer);
    message.msg_namelen = 4;
    GIVES(minitcp_recvmsg(b, &message, MSG_TRUNC), 12);
    CHECK(message.msg_flags == MSG_TRUNC && message.msg_namelen == sizeof peer);
    CHECK(peer.sin_port == from.sin_port && peer.sin_addr.s_addr == 0);
    message.msg_namelen = sizeof peer;
    GIVES(minitcp_recvmsg(b, &message, 0), 0);
    CHECK(message.msg_flags == 0 && message.msg_namelen == sizeof peer);
    FAILS(minitcp_recvmsg(b, &message, 0), EAGAIN);

    /* readv() and writev() are for connected ones; a datagram stays one. */
    CHECK(minitcp_connect(a, SOCKADDR(to), sizeof to) == 0);
    GIVES(minitcp_writev(a, out, 3), 12);
    settle();
    GIVES(minitcp_readv(b, in, 2), 10);
    FAILS(minitcp_readv(b, in, 2), EAGAIN);
    CHECK(minitcp_close(a) == 0 && minitcp_close(b) == 0);
}

static void misuse(void)
{
    int fd = minitcp_stack_socket(net.ways[0].from, AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = ipv4("10.0.0.2", 9), from = ipv4("10.0.0.1", 9);
    CHECK(minitcp_bind(fd, SOCKADDR(from), sizeof from) == 0);
    CHECK(minitcp_connect(fd, SOCKADDR(to), sizeof to) == 0);
    static struct iovec many[1025];
    char octet = 0, control[64];
    for (size_t i = 0; i < 1025; i++)
        many[i] = piece(&octet, 1);
    struct msghdr good, bad;
    memset(&good, 0, sizeof good);
    good.msg_iov = many;
    good.msg_iovlen = 1;

    FAILS(minitcp_sendmsg(fd, NULL, 0), EFAULT);
    FAILS(minitcp_recvmsg(fd, NULL, 0), EFAULT);
    FAILS(minitcp_sendmsg(-1, &good, 0), EBADF);
    FAILS(minitcp_recvmsg(-1, &good, 0), EBADF);
    FAILS(minitcp_writev(-1, many, 1), EBADF);
    FAILS(minitcp_readv(-1, many, 1), EBADF);
    FAILS(minitcp_writev(fd, NULL, 1), EFAULT);
    FAILS(minitcp_readv(fd, NULL, 1), EFAULT);
    FAILS(minitcp_writev(fd, many, -1), EINVAL);
    FAILS(minitcp_readv(fd, many, -1), EINVAL);
    FAILS(minitcp_writev(fd, many, 1025), EINVAL);
    FAILS(minitcp_readv(fd, many, 1025), EINVAL);
    GIVES(minitcp_writev(fd, many, 1024), 1024);
    bad = good;
    bad.msg_iovlen = 1025;
    FAILS(minitcp_sendmsg(fd, &bad, 0), EMSGSIZE);
    FAILS(minitcp_recvmsg(fd, &bad, 0), EMSGSIZE);
    bad.msg_iovlen = SIZE_MAX;
    FAILS(minitcp_sendmsg(fd, &bad, 0), EMSGSIZE);
    bad = good;
    bad.msg_iov = NULL;
    FAILS(minitcp_sendmsg(fd, &bad, 0), EFAULT);
    FAILS(minitcp_recvmsg(fd, &bad, 0), EFAULT);
    bad = good;
    bad.msg_control = control;
    bad.msg_controllen = sizeof control;
    FAILS(minitcp_sendmsg(fd, &bad, 0), EINVAL);
    struct iovec huge[2] = { piece(&octet, SIZE_MAX / 2), piece(&octet, SIZE_MAX / 2) };
    FAILS(minitcp_writev(fd, huge, 2), EINVAL);
    FAILS(minitcp_readv(fd, huge, 2), EINVAL);
    struct iovec nowhere = piece(NULL, 1);
    FAILS(minitcp_writev(fd, &nowhere, 1), EFAULT);
    FAILS(minitcp_readv(fd, &nowhere, 1), EFAULT);
    bad = good;
    bad.msg_name = &to;
    bad.msg_namelen = 1;
    FAILS(minitcp_sendmsg(fd, &bad, 0), EINVAL);

    /* What was refused has sent nothing. */
    CHECK(minitcp_close(fd) == 0);
}

int main(void)
{
    link_init(&net, new_stack("10.0.0.1/24", 1), new_stack("10.0.0.2/24", 2));
    streams();
    datagrams();
    misuse();
    CHECK(minitcp_stack_free(net.ways[0].from) == 0 && minitcp_stack_free(net.ways[1].from) == 0);
    printf("%d rows, %d failures\n", rows, failures);
    return failures != 0;
}
