/*
 * Does the packet-level mode do all that the header says? Two stacks in one program, a link and a
 * clock of the program's own, and the socket calls on both.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "link.h"

static struct link net;

static int stream(minitcp_stack *stack, int domain)
{
    int fd = minitcp_stack_socket(stack, domain, SOCK_STREAM, 0);
    CHECK(fd >= 3);
    return fd;
}

/* Is `fd` ready for `events`? What it is ready for comes back. */
static int ready(int fd, int events)
{
    struct pollfd entry = { fd, (short)events, 0 };
    int count = minitcp_poll(&entry, 1, -1);
    CHECK(count == (entry.revents != 0));
    return entry.revents;
}

static void wait_for(int fd, int events)
{
    while (!(ready(fd, events) & events))
        CHECK(link_step(&net));
}

static unsigned char pattern(size_t at) { return (unsigned char)(at ^ at >> 8 ^ at >> 16); }

/* A listener at `addr`, and a connection to it from `local`. */
static void connect_pair(struct sockaddr *addr, socklen_t len, int pair[2])
{
    int listener = stream(net.ways[1].from, addr->sa_family);
    CHECK(minitcp_bind(listener, addr, len) == 0);
    CHECK(minitcp_listen(listener, 8) == 0);
    CHECK(ready(listener, POLLIN) == 0);
    CHECK(minitcp_accept(listener, NULL, NULL) == -1 && errno == EAGAIN);

    pair[0] = stream(net.ways[0].from, addr->sa_family);
    CHECK(minitcp_connect(pair[0], addr, len) == -1 && errno == EINPROGRESS);
    CHECK(minitcp_connect(pair[0], addr, len) == -1 && errno == EALREADY);
    CHECK(ready(pair[0], POLLOUT) == 0);
    wait_for(pair[0], POLLOUT);
    int error = -1;
    socklen_t size = sizeof error;
    CHECK(minitcp_getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    CHECK(error == 0 && size == sizeof error);

    wait_for(listener, POLLIN);
    struct sockaddr_storage peer, name;
    socklen_t peer_len = sizeof peer, name_len = sizeof name;
    pair[1] = minitcp_accept(listener, SOCKADDR(peer), &peer_len);
    CHECK(pair[1] >= 3);
    CHECK(minitcp_getsockname(pair[0], SOCKADDR(name), &name_len) == 0);
    CHECK(peer_len == len && name_len == len && memcmp(&peer, &name, len) == 0);
    peer_len = sizeof peer;
    CHECK(minitcp_getpeername(pair[0], SOCKADDR(peer), &peer_len) == 0);
    CHECK(peer_len == len && memcmp(&peer, addr, len) == 0);
    CHECK(minitcp_close(listener) == 0);
}

/* `total` octets from `from` to `to`, and the end of the stream. */
static void transfer(int from, int to, size_t total)
{
    static unsigned char out[4096], in[3000];
    size_t sent = 0, received = 0;
    int ended = 0;
    while (!ended) {
        while (sent < total) {
            size_t len = sizeof out < total - sent ? sizeof out : total - sent;
            for (size_t i = 0; i < len; i++)
                out[i] = pattern(sent + i);
            ssize_t count = minitcp_send(from, out, len, MSG_NOSIGNAL);
            if (count == -1) {
                CHECK(errno == EAGAIN);
                break;
            }
            sent += (size_t)count;
            if (sent == total)
                CHECK(minitcp_shutdown(from, SHUT_WR) == 0);
        }
        for (;;) {
            ssize_t count = minitcp_recv(to, in, sizeof in, 0);
            if (count == -1) {
                CHECK(errno == EAGAIN);
                break;
            }
            if (count == 0) {
                ended = 1;
                break;
            }
            for (ssize_t i = 0; i < count; i++)
                CHECK(in[i] == pattern(received + (size_t)i));
            received += (size_t)count;
        }
        if (!ended)
            CHECK(link_step(&net));
    }
    CHECK(sent == total && received == total);
}

static void streams(void)
{
    struct sockaddr_in addr = ipv4("10.0.0.2", 7);
    int pair[2];
    connect_pair(SOCKADDR(addr), sizeof addr, pair);

    CHECK(minitcp_send(pair[0], "hello", 5, 0) == 5);
    int octets = 0;
    CHECK(minitcp_ioctl(pair[0], SIOCOUTQ, &octets) == 0 && octets == 5);
    wait_for(pair[1], POLLIN);
    CHECK(minitcp_ioctl(pair[1], FIONREAD, &octets) == 0 && octets == 5);
    char text[8] = "";
    CHECK(minitcp_recv(pair[1], text, sizeof text, MSG_PEEK) == 5);
    socklen_t none = 99;
    struct sockaddr_in from;
    CHECK(minitcp_recvfrom(pair[1], text, sizeof text, 0, SOCKADDR(from), &none) == 5);
    CHECK(memcmp(text, "hello", 5) == 0 && none == 0);

    net.loses_one_of = 20;
    transfer(pair[0], pair[1], 100000);
    transfer(pair[1], pair[0], 50000);
    CHECK(net.lost > 0);
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    CHECK(minitcp_getsockopt(pair[1], IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    CHECK(info.tcpi_rtt >= 20000 && info.tcpi_snd_mss > 500);
    net.loses_one_of = 0;

    CHECK(ready(pair[0], POLLIN | POLLRDHUP) & POLLIN);
    CHECK(minitcp_close(pair[0]) == 0 && minitcp_close(pair[1]) == 0);
    while (link_step(&net)) {
    }
}

static void datagrams(void)
{
    struct sockaddr_in6 addr = ipv6("fd00::2", 53), from;
    int a = minitcp_stack_socket(net.ways[0].from, AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
    int b = minitcp_stack_socket(net.ways[1].from, AF_INET6, SOCK_DGRAM, 0);
    CHECK(a >= 3 && b > a);
    CHECK(minitcp_bind(b, SOCKADDR(addr), sizeof addr) == 0);
    CHECK(minitcp_sendto(a, "question", 8, 0, SOCKADDR(addr), sizeof addr) == 8);
    CHECK(minitcp_recv(b, NULL, 0, 0) == -1 && errno == EAGAIN);
    wait_for(b, POLLIN);

    /* The name is cut, the datagram too; the whole lengths are told. */
    char text[4];
    socklen_t len = 4;
    memset(&from, 0xee, sizeof from);
    CHECK(minitcp_recvfrom(b, text, sizeof text, MSG_TRUNC | MSG_PEEK, SOCKADDR(from), &len) == 8);
    CHECK(memcmp(text, "ques", 4) == 0 && len == sizeof from);
    CHECK(from.sin6_family == AF_INET6 && from.sin6_flowinfo == 0xeeeeeeee);
    len = sizeof from;
    CHECK(minitcp_recvfrom(b, text, sizeof text, 0, SOCKADDR(from), &len) == 4);
    CHECK(len == sizeof from && from.sin6_family == AF_INET6);

    CHECK(minitcp_connect(b, SOCKADDR(from), len) == 0);
    CHECK(minitcp_send(b, "", 0, 0) == 0);
    wait_for(a, POLLIN);
    len = sizeof from;
    CHECK(minitcp_recvfrom(a, text, sizeof text, 0, SOCKADDR(from), &len) == 0);
    CHECK(len == sizeof from && from.sin6_port == htons(53));
    struct sockaddr nobody;
    memset(&nobody, 0, sizeof nobody);
    CHECK(minitcp_connect(b, &nobody, sizeof nobody) == 0);
    CHECK(minitcp_send(b, "", 0, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(minitcp_close(a) == 0 && minitcp_close(b) == 0);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    CHECK(minitcp_getsockopt(fd, level, name, &value, &len) == 0 && len == sizeof value);
    return value;
}

static void options(void)
{
    int fd = stream(net.ways[0].from, AF_INET);
    int one = 1, zero = 0;
    CHECK(option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
    CHECK(option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET);
    CHECK(option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
    CHECK(option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 0);
    CHECK(minitcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    unsigned char ttl = 9;
    CHECK(minitcp_setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, 1) == 0);
    CHECK(option(fd, IPPROTO_IP, IP_TTL) == 9);

    struct timeval limit = { 2, 500000 }, read_back;
    socklen_t len = sizeof read_back;
    CHECK(minitcp_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(minitcp_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read_back, &len) == 0);
    CHECK(read_back.tv_sec == 2 && read_back.tv_usec == 500000 && len == sizeof read_back);
    struct linger linger = { 1, 7 }, lingers;
    len = sizeof lingers;
    CHECK(minitcp_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    CHECK(minitcp_getsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, &len) == 0);
    CHECK(lingers.l_onoff == 1 && lingers.l_linger == 7);
    char name[16] = "";
    len = sizeof name;
    CHECK(minitcp_getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0);
    CHECK(strcmp(name, "cubic") == 0);
    CHECK(minitcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);

    /* Such a socket never waits, whatever is asked. */
    CHECK(minitcp_fcntl(fd, F_GETFL, 0) == (O_RDWR | O_NONBLOCK));
    CHECK(minitcp_fcntl(fd, F_SETFL, 0) == 0);
    CHECK(minitcp_ioctl(fd, FIONBIO, &zero) == 0);
    CHECK(minitcp_fcntl(fd, F_GETFL, 0) == (O_RDWR | O_NONBLOCK));
    CHECK(minitcp_close(fd) == 0);
}

static void descriptors(void)
{
    int a = stream(net.ways[0].from, AF_INET), b = stream(net.ways[0].from, AF_INET);
    int copy = minitcp_dup(a);
    int one = 1;
    CHECK(copy == b + 1);
    CHECK(minitcp_setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0);
    CHECK(minitcp_close(a) == 0);
    CHECK(option(copy, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(stream(net.ways[1].from, AF_INET) == a); /* The lowest free one. */
    CHECK(minitcp_close(a) == 0 && minitcp_close(b) == 0 && minitcp_close(copy) == 0);
}

/* Ready sockets of two stacks, one that is not, a closed one, and one to pass over. */
static void polls(void)
{
    minitcp_stack *stack = net.ways[0].from;
    int a = minitcp_stack_socket(stack, AF_INET, SOCK_DGRAM, 0);
    int b = minitcp_stack_socket(net.ways[1].from, AF_INET, SOCK_DGRAM, 0);
    int closed = stream(stack, AF_INET);
    CHECK(minitcp_close(closed) == 0);
    struct pollfd fds[] = {
        { a, POLLOUT | POLLWRNORM, -1 }, { b, POLLIN, -1 }, { closed, 0, -1 },
        { -1, POLLIN, -1 },              { b, POLLOUT, -1 },
    };
    CHECK(minitcp_poll(fds, 5, -1) == 3);
    CHECK(fds[0].revents == (POLLOUT | POLLWRNORM) && fds[1].revents == 0);
    CHECK(fds[2].revents == POLLNVAL && fds[3].revents == 0 && fds[4].revents == POLLOUT);
    CHECK(minitcp_poll(NULL, 0, 0) == 0);
    CHECK(minitcp_poll(&fds[3], 1, 1) == 0);
    CHECK(minitcp_close(a) == 0 && minitcp_close(b) == 0);
}

/* Retransmissions come at the times that the stack has told. */
static void clocks(void)
{
    minitcp_stack *stack = new_stack("10.0.0.9", 9);
    unsigned char packet[PACKET];
    uint64_t when = 0;
    CHECK(minitcp_stack_deadline(stack) == MINITCP_NEVER);
    CHECK(minitcp_stack_output(stack, packet, PACKET, 0, &when) == 0 && when == MINITCP_NEVER);
    int fd = stream(stack, AF_INET);
    struct sockaddr_in addr = ipv4("10.0.0.8", 1);
    CHECK(minitcp_connect(fd, SOCKADDR(addr), sizeof addr) == -1 && errno == EINPROGRESS);
    CHECK(minitcp_stack_output(stack, packet, PACKET - 1, 5, NULL) == -1 && errno == EMSGSIZE);
    CHECK(minitcp_stack_output(stack, packet, PACKET, 5, &when) > 0 && when == 5);
    CHECK(packet[0] == 0x45 && packet[9] == IPPROTO_TCP && packet[33] == 0x02);
    CHECK(minitcp_stack_output(stack, packet, PACKET, 5, &when) == 0);
    CHECK(when == 5 + 1000 * MILLISECOND && minitcp_stack_deadline(stack) == when);
    CHECK(minitcp_stack_output(stack, packet, PACKET, when - 1, NULL) == 0);
    CHECK(minitcp_stack_advance(stack, when) == 0);
    CHECK(minitcp_stack_output(stack, packet, PACKET, 0, NULL) > 0); /* Time does not go back. */
    CHECK(minitcp_stack_deadline(stack) == when + 2000 * MILLISECOND);
    CHECK(minitcp_stack_free(stack) == 0);
    CHECK(minitcp_close(fd) == -1 && errno == EBADF);
}

/* Equal seeds, packets and times give equal packets. */
static void repeats(void)
{
    unsigned char packets[2][PACKET];
    ssize_t lens[2];
    for (int i = 0; i < 2; i++) {
        minitcp_stack *stack = new_stack("10.0.0.1/24", 77);
        struct sockaddr_in addr = ipv4("10.0.0.2", 7);
        int fd = stream(stack, AF_INET);
        CHECK(minitcp_connect(fd, SOCKADDR(addr), sizeof addr) == -1 && errno == EINPROGRESS);
        lens[i] = minitcp_stack_output(stack, packets[i], PACKET, 1, NULL);
        CHECK(minitcp_stack_free(stack) == 0);
    }
    CHECK(lens[0] > 0 && lens[0] == lens[1]);
    CHECK(memcmp(packets[0], packets[1], (size_t)lens[0]) == 0);
}

int main(void)
{
    link_init(&net, new_stack("10.0.0.1/24,fd00::1/64", 1), new_stack("10.0.0.2/24,fd00::2/64", 2));
    streams();
    datagrams();
    options();
    descriptors();
    polls();
    clocks();
    repeats();
    CHECK(minitcp_stack_free(net.ways[0].from) == 0 && minitcp_stack_free(net.ways[1].from) == 0);
    printf("%lu packets, %lu lost, %llu ms\n", net.sent, net.lost,
           (unsigned long long)(net.now / MILLISECOND));
    return 0;
}
