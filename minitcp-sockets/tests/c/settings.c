/*
 * Does each setting of struct minitcp_config do what the header says? What TCP_INFO says of a
 * connection, and what the packets do, in virtual time.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/time.h>

#include "link.h"

/* As in <netinet/tcp.h>, whose older struct tcp_info forbids to include both. */
enum { TCP_ESTABLISHED = 1, TCP_FIN_WAIT2 = 5, TCP_CLOSE_WAIT = 8 };

static struct link net;

static struct minitcp_config settings(const char *addresses)
{
    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = addresses;
    config.seed = 5;
    return config;
}

/* Two hosts, of which the first has these settings. */
static void hosts(const struct minitcp_config *config)
{
    minitcp_stack *first = minitcp_stack_new(config);
    CHECK(first != NULL);
    link_init(&net, first, new_stack("10.0.0.2/24", 2));
}

static void no_hosts(void)
{
    CHECK(minitcp_stack_free(net.ways[0].from) == 0 && minitcp_stack_free(net.ways[1].from) == 0);
}

static struct tcp_info info_of(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0xff, sizeof info);
    CHECK(minitcp_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    return info;
}

/* How often the first host sends while nobody answers, in so long. */
static unsigned long sent_alone(uint64_t time)
{
    unsigned long before = net.sent;
    net.loses_one_of = 1;
    link_pass(&net, time);
    net.loses_one_of = 0;
    return net.sent - before;
}

static void retransmission_timeouts(void)
{
    struct minitcp_config config = settings("10.0.0.1/24");
    struct sockaddr_in addr = ipv4("10.0.0.2", 7);
    int fd, pair[2];

    /* Before the first measurement: at 0, 100, 300, 700 ms, and from then on every 400. */
    config.initial_rto_ms = 100;
    config.min_rto_ms = 30;
    config.max_rto_ms = 400;
    hosts(&config);
    fd = minitcp_stack_socket(net.ways[0].from, AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_connect(fd, SOCKADDR(addr), sizeof addr) == -1 && errno == EINPROGRESS);
    CHECK(sent_alone(1000 * MILLISECOND) == 4);
    CHECK(sent_alone(4000 * MILLISECOND) == 10);
    no_hosts();

    /* RFC 6298, after one measurement of 20 ms: SRTT and four times RTTVAR; or, as on Linux, SRTT
     * and the least. */
    hosts(&config);
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_rto == 60000);
    no_hosts();
    config.min_rto_ms = 333;
    hosts(&config);
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_rto == 353000);
    no_hosts();
}

/* How long one octet is unacknowledged, in milliseconds. */
static uint64_t acknowledged_after(int from)
{
    CHECK(minitcp_send(from, "x", 1, 0) == 1);
    uint64_t began = net.now;
    do
        link_pass(&net, MILLISECOND);
    while (info_of(from).tcpi_unacked > 0);
    return (net.now - began) / MILLISECOND;
}

static void delayed_acks(void)
{
    /* Not longer: after 200 ms more than two round trips the tail is probed (RFC 8985). */
    static const uint32_t cases[][2] = { { 0, 60 }, { 1, 21 }, { 150, 170 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct minitcp_config config = settings("10.0.0.1/24");
        config.delayed_ack_ms = cases[i][0];
        hosts(&config);
        int pair[2];
        link_connect(&net, pair);
        /* The first ones of a connection are acknowledged at once. */
        for (int octets = 0; octets < 64; octets++)
            acknowledged_after(pair[1]);
        uint64_t took = acknowledged_after(pair[1]);
        if (took != cases[i][1]) {
            fprintf(stderr, "delayed_ack_ms = %u: %llu ms\n", cases[i][0],
                    (unsigned long long)took);
            exit(1);
        }
        no_hosts();
    }
}

/* How long a connection stays in TIME-WAIT: until an old segment is answered by a reset. */
static void segment_lifetimes(void)
{
    struct minitcp_config config = settings("10.0.0.1/24");
    config.msl_ms = 700;
    hosts(&config);
    int pair[2];
    link_connect(&net, pair);
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    CHECK(minitcp_getsockname(pair[0], SOCKADDR(name), &len) == 0);
    CHECK(minitcp_close(pair[0]) == 0);
    link_pass(&net, 50 * MILLISECOND);
    CHECK(minitcp_close(pair[1]) == 0);
    link_pass(&net, 1300 * MILLISECOND);
    int fd = minitcp_stack_socket(net.ways[0].from, AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_bind(fd, SOCKADDR(name), len) == -1 && errno == EADDRINUSE);
    link_pass(&net, 300 * MILLISECOND);
    CHECK(minitcp_bind(fd, SOCKADDR(name), len) == 0);
    no_hosts();
}

static void buffers(void)
{
    struct minitcp_config config = settings("10.0.0.1/24");
    int pair[2];
    config.receive_buffer = config.largest_receive_buffer = 16384;
    hosts(&config);
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_rcv_wscale == 0 && info_of(pair[1]).tcpi_snd_wnd == 16384);
    no_hosts();

    /* A window of 16 KiB, with the scale for one of 8 MiB. */
    config.largest_receive_buffer = 8 << 20;
    hosts(&config);
    link_connect(&net, pair);
    struct tcp_info info = info_of(pair[0]);
    CHECK(info.tcpi_rcv_wscale == 8 && info_of(pair[1]).tcpi_snd_wscale == 8);
    CHECK(info_of(pair[1]).tcpi_snd_wnd == 16384);
    int larger = 8 << 20;
    CHECK(minitcp_setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &larger, sizeof larger) == 0);
    CHECK(acknowledged_after(pair[1]) <= 60);
    CHECK(info_of(pair[1]).tcpi_snd_wnd > 1 << 20);
    no_hosts();
}

/* Each of the options can be done without. */
static void without_options(void)
{
    struct minitcp_config config = settings("10.0.0.1/24");
    int pair[2];
    config.without = MINITCP_NO_TIMESTAMPS;
    hosts(&config);
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_options == (TCPI_OPT_SACK | TCPI_OPT_WSCALE));
    CHECK(info_of(pair[0]).tcpi_snd_mss == 1460);
    no_hosts();

    config.without = MINITCP_NO_SACK | MINITCP_NO_WINDOW_SCALING;
    hosts(&config);
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_options == TCPI_OPT_TIMESTAMPS);
    no_hosts();
}

/* What the stack knows of a connection is there under Linux's names. */
static void what_is_known(void)
{
    struct minitcp_config config = settings("10.0.0.1/24");
    config.congestion = "reno";
    hosts(&config);
    int pair[2];
    link_connect(&net, pair);
    CHECK(info_of(pair[0]).tcpi_state == TCP_ESTABLISHED);
    CHECK(info_of(pair[0]).tcpi_options == (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE));
    CHECK(info_of(pair[0]).tcpi_snd_mss == 1448 && info_of(pair[0]).tcpi_advmss == 1460);
    CHECK(info_of(pair[0]).tcpi_rtt == 20000 && info_of(pair[0]).tcpi_rttvar == 10000);
    CHECK(info_of(pair[0]).tcpi_snd_ssthresh == 0x7fffffff && info_of(pair[0]).tcpi_snd_cwnd >= 2);
    link_pass(&net, 500 * MILLISECOND);
    CHECK(info_of(pair[0]).tcpi_last_data_sent >= 500);
    CHECK(minitcp_send(pair[0], "lost", 4, 0) == 4);
    CHECK(sent_alone(1000 * MILLISECOND) >= 2);
    struct tcp_info info = info_of(pair[0]);
    CHECK(info.tcpi_retransmits >= 1 && info.tcpi_backoff >= 1 && info.tcpi_unacked == 1);
    CHECK(info.tcpi_total_retrans >= 1 && info.tcpi_ca_state == TCP_CA_Loss);
    link_pass(&net, 10000 * MILLISECOND);
    info = info_of(pair[0]);
    CHECK(info.tcpi_retransmits == 0 && info.tcpi_unacked == 0 && info.tcpi_ca_state == TCP_CA_Open);
    CHECK(minitcp_shutdown(pair[0], SHUT_WR) == 0);
    link_pass(&net, 100 * MILLISECOND);
    CHECK(info_of(pair[0]).tcpi_state == TCP_FIN_WAIT2);
    CHECK(info_of(pair[1]).tcpi_state == TCP_CLOSE_WAIT);
    no_hosts();
}

int main(void)
{
    retransmission_timeouts();
    delayed_acks();
    segment_lifetimes();
    buffers();
    without_options();
    what_is_known();
    return 0;
}
