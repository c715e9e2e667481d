/*
 * Does the process-wide stack work over a TUN device? An echo server and clients for programs that
 * use the kernel's sockets, and misuse that needs a device. scripts/e2e.sh runs it.
 *
 * usage: tun serve TUN ADDRESSES PORT           echoes streams and datagrams until SIGTERM
 *        tun tcp|udp TUN ADDRESSES PEER PORT    sends "are you there?" and prints the answer
 *        tun misuse TUN ADDRESSES KERNEL        makes the device, and must find it gone at the end
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "check.h"

#define CLIENTS 64

static int rows, failures;
static volatile sig_atomic_t told_to_end;

static void end(int signal)
{
    (void)signal;
    told_to_end = 1;
}

/* ---- the server */

static struct pollfd fds[2 + CLIENTS];
static nfds_t count = 2;

static void drop_client(nfds_t at)
{
    CHECK(minitcp_close(fds[at].fd) == 0);
    fds[at] = fds[--count];
}

/* What came goes back; the buffers of a line or two never fill. */
static void serve_client(nfds_t at)
{
    char data[4096];
    ssize_t len = minitcp_recv(fds[at].fd, data, sizeof data, 0);
    if (len > 0)
        CHECK(minitcp_send(fds[at].fd, data, (size_t)len, 0) == len);
    else if (len == 0 || errno != EAGAIN)
        drop_client(at);
}

static void serve(unsigned port)
{
    struct sockaddr_in addr = ipv4("0.0.0.0", port), from;
    int listener = minitcp_socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    int udp = minitcp_udp_socket(AF_INET);
    CHECK(listener == 3 && udp == 4);
    CHECK(minitcp_bind(listener, SOCKADDR(addr), sizeof addr) == 0);
    CHECK(minitcp_listen(listener, 16) == 0);
    CHECK(minitcp_bind(udp, SOCKADDR(addr), sizeof addr) == 0);
    fds[0].fd = listener;
    fds[1].fd = udp;
    fds[0].events = fds[1].events = POLLIN;
    printf("ready\n");
    fflush(stdout);
    while (!told_to_end) {
        CHECK(minitcp_poll(fds, count, 50) >= 0);
        for (nfds_t at = count; at-- > 2;)
            if (fds[at].revents != 0)
                serve_client(at);
        char data[2000];
        socklen_t len = sizeof from;
        if (fds[1].revents & POLLIN) {
            ssize_t octets = minitcp_recvfrom(udp, data, sizeof data, 0, SOCKADDR(from), &len);
            CHECK(octets >= 0 && len == sizeof from);
            CHECK(minitcp_sendto(udp, data, (size_t)octets, 0, SOCKADDR(from), len) == octets);
        }
        if (fds[0].revents & POLLIN && count < 2 + CLIENTS) {
            struct pollfd client = { minitcp_accept(listener, NULL, NULL), POLLIN, 0 };
            CHECK(client.fd > udp && minitcp_fcntl(client.fd, F_SETFL, O_NONBLOCK) == 0);
            fds[count++] = client;
        }
    }
}

/* ---- the clients */

static void ask(int type, const char *peer, unsigned port)
{
    static const char question[] = "are you there?\n";
    struct sockaddr_in addr = ipv4(peer, port);
    struct timeval limit = { 5, 0 };
    char answer[100];
    int fd = minitcp_socket(AF_INET, type, 0);
    CHECK(fd == 3);
    CHECK(minitcp_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(minitcp_connect(fd, SOCKADDR(addr), sizeof addr) == 0);
    CHECK(minitcp_send(fd, question, sizeof question - 1, 0) == sizeof question - 1);
    if (type == SOCK_STREAM)
        CHECK(minitcp_shutdown(fd, SHUT_WR) == 0);
    ssize_t len = minitcp_recv(fd, answer, sizeof answer, MSG_WAITALL);
    CHECK(len > 0);
    printf("%.*s", (int)len, answer);
    CHECK(minitcp_close(fd) == 0);
}

/* ---- misuse */

struct call {
    int fd, result, code;
    int (*call)(int fd);
};

static int accept_one(int fd) { return minitcp_accept(fd, NULL, NULL); }

static int receive_one(int fd)
{
    char octet;
    return (int)minitcp_recv(fd, &octet, 1, 0);
}

static void *make(void *argument)
{
    struct call *call = argument;
    call->result = call->call(call->fd);
    call->code = errno;
    return NULL;
}

/* Whether a thread waits inside of a call cannot be seen from outside: give it a while. */
static pthread_t begin(struct call *call)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make, call) == 0);
    CHECK(minitcp_poll(NULL, 0, 100) == 0);
    return thread;
}

static void expect_ebadf(pthread_t thread, const struct call *call)
{
    CHECK(pthread_join(thread, NULL) == 0);
    GIVES(call->result, -1);
    GIVES(call->code, EBADF);
}

static void misuse(const char *tun, const struct minitcp_config *config)
{
    struct sockaddr_in any = ipv4("0.0.0.0", 7), nobody = ipv4("10.0.8.77", 7);
    FAILS(minitcp_init_with(tun, config), EALREADY);
    FAILS(minitcp_init(tun, config->addresses), EALREADY);
    CHECK(if_nametoindex(tun) != 0);

    /* Calls that wait end when their socket does. */
    int listener = minitcp_socket(AF_INET, SOCK_STREAM, 0), udp = minitcp_udp_socket(AF_INET);
    CHECK(minitcp_bind(listener, SOCKADDR(any), sizeof any) == 0);
    CHECK(minitcp_listen(listener, 1) == 0);
    struct call accepts = { listener, 0, 0, accept_one }, receives = { udp, 0, 0, receive_one };
    pthread_t thread = begin(&accepts);
    CHECK(minitcp_close(listener) == 0);
    expect_ebadf(thread, &accepts);
    thread = begin(&receives);
    CHECK(minitcp_close(udp) == 0);
    expect_ebadf(thread, &receives);

    /* Limits of time; the mode for one call alone. */
    udp = minitcp_udp_socket(AF_INET);
    struct timeval limit = { 0, 20000 };
    char octet;
    FAILS(minitcp_recv(udp, &octet, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(minitcp_setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    FAILS(minitcp_recv(udp, &octet, 1, 0), EAGAIN);
    struct pollfd entry = { udp, POLLIN, 0 };
    GIVES(minitcp_poll(&entry, 1, 20), 0);

    /* An exit neither waits for a peer that is not there, nor longer than it may. */
    int stream = minitcp_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FAILS(minitcp_connect(stream, SOCKADDR(nobody), sizeof nobody), EINPROGRESS);
    struct linger linger = { 1, 1000 };
    CHECK(minitcp_setsockopt(stream, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    CHECK(minitcp_fcntl(stream, F_SETFL, 0) == 0);
    limit.tv_usec = 0;
    CHECK(minitcp_setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    receives.fd = udp;
    thread = begin(&receives);
    GIVES(minitcp_exit(500), 0);
    expect_ebadf(thread, &receives);
    FAILS(minitcp_close(stream), EBADF);
    FAILS(minitcp_socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
    GIVES(if_nametoindex(tun), 0);

    /* There can be another one. */
    CHECK(minitcp_init_with(tun, config) == 0);
    GIVES(minitcp_socket(AF_INET, SOCK_STREAM, 0), 3);
}

int main(int argc, char **argv)
{
    struct sigaction on_term;
    memset(&on_term, 0, sizeof on_term);
    on_term.sa_handler = end;
    CHECK(sigaction(SIGTERM, &on_term, NULL) == 0);
    CHECK(argc == 5 || argc == 6);
    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = argv[3];
    if (strcmp(argv[1], "misuse") == 0)
        config.kernel_address = argv[4];
    CHECK(minitcp_init_with(argv[2], &config) == 0);
    if (strcmp(argv[1], "serve") == 0)
        serve((unsigned)atoi(argv[4]));
    else if (strcmp(argv[1], "misuse") == 0)
        misuse(argv[2], &config);
    else if (strcmp(argv[1], "tcp") == 0)
        ask(SOCK_STREAM, argv[4], (unsigned)atoi(argv[5]));
    else
        ask(SOCK_DGRAM, argv[4], (unsigned)atoi(argv[5]));
    CHECK(minitcp_exit(2000) == 0);
    return failures != 0;
}
