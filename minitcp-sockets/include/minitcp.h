/*
 * minitcp.h: sockets of MiniTCP, a TCP/IP stack that lives in your process.
 *
 * Every function is the POSIX call of the same name with `minitcp_` before it, and with Linux's
 * constants, structures and errno values where POSIX leaves a choice. So a program changes its
 * calls and nothing else. Descriptors are numbers of MiniTCP's own, which start at 3: give them to
 * functions of this header only, and give those no other descriptors.
 *
 * There are two modes, also beside each other in one process:
 *
 *  - minitcp_init() gives the process a stack on a TUN device, with a thread of its own. Calls
 *    block as POSIX says.
 *  - minitcp_stack_new() makes a stack without a device, thread or clock. You hand it packets and
 *    tell it the time; calls on its sockets never block.
 *
 * Failing functions return -1 (or what they say) and set errno. Besides what each says:
 *
 *    EBADF        no such descriptor or stack, or it was closed while the call waited
 *    EFAULT       a pointer is NULL that must not be
 *    EINVAL       a length is too short, too long or negative, or a value is out of range
 *    EAFNOSUPPORT an address of another family
 *    EIO          a bug in MiniTCP was stopped before it reached your program
 *
 * Pointers other than NULL must be good for as many octets as the length beside them says; they
 * need not be aligned. All functions can be called from any thread at any time. There is no
 * SIGPIPE, and no call ends with EINTR but minitcp_poll() without sockets.
 *
 * Link with -lminitcp_sockets (or libminitcp_sockets.a and -lpthread -ldl -lm).
 */
#ifndef MINITCP_H
#define MINITCP_H

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A stack's settings ------------------------------------------------------------------- */

/*
 * Start with all zeros, which stand for the defaults, and set `size` and `addresses`:
 *
 *    struct minitcp_config config = { .size = sizeof config, .addresses = "10.0.0.2/24" };
 */
struct minitcp_config {
    /* sizeof(struct minitcp_config); else EINVAL. */
    size_t size;
    /* The stack's own addresses with the bits of their networks, at most 8, between commas, each
     * once: "10.0.0.2/24,fd00::2/64". Without bits the network is one address. */
    const char *addresses;
    /* Only for a TUN device, and may be NULL: the kernel's address at the other end, as
     * "10.0.0.1/24". Then the device is made and configured, which needs CAP_NET_ADMIN. Its peer is
     * the first address of that family; EINVAL if there is none. With NULL, a device that is there
     * is used as it is, and ENODEV if there is none. */
    const char *kernel_address;
    /* All that is random, such as sequence numbers, follows from it: equal seeds, packets and times
     * give equal packets. 0 takes one from the operating system, as a stack that strangers can
     * reach needs. */
    uint64_t seed;
    /* Octets of all buffers together, at most 4 GiB; 64 MiB. */
    uint64_t buffer_bytes;
    /* Largest IP packet in octets, 576 to 65535; 1500, or the TUN device's. */
    uint32_t mtu;
    /* SO_RCVBUF and SO_SNDBUF of new streams in octets, at most 1 GiB; 256 KiB. They grow by
     * themselves, as the path needs and memory allows, unless the program sets them. */
    uint32_t receive_buffer;
    uint32_t send_buffer;
    /* Most connections, at most 1048576; 1024. Beyond: ENOBUFS, or handshakes stay unfinished. */
    uint32_t connections;
    /* Most listening or bound streams, at most 65536; 16. Beyond: ENOBUFS. */
    uint32_t listeners;
    /* Most UDP sockets, at most 65536; 64. Beyond: ENOBUFS. */
    uint32_t udp_sockets;
    /* The congestion controller, "reno"; NULL: that one. */
    const char *congestion;
    /* How long an ACK may wait for company, in milliseconds, under 500; 40. */
    uint32_t delayed_ack_ms;
    /* Retransmission timeout in milliseconds: before the first measurement, at least, at most;
     * 1000, 200, 60000. EINVAL if one of the first two is greater than the third. */
    uint32_t initial_rto_ms;
    uint32_t min_rto_ms;
    uint32_t max_rto_ms;
    /* Maximum segment lifetime in milliseconds: TIME-WAIT takes two; 30000. */
    uint32_t msl_ms;
    /* How far the buffers grow by themselves, in octets, at most 1 GiB; 16 MiB. Not at all with
     * less than they have: 1, for instance. The SYN announces the window scale for the receive
     * buffer to be so large; SO_RCVBUF can grow as far as that goes. */
    uint32_t largest_receive_buffer;
    uint32_t largest_send_buffer;
    /* What new connections do without, of MINITCP_NO_TIMESTAMPS, MINITCP_NO_SACK,
     * MINITCP_NO_WINDOW_SCALING and MINITCP_NO_PACING; 0: nothing. EINVAL if other bits are set. */
    uint32_t without;
};

/* RFC 7323, RFC 2018, RFC 7323 again, and spreading what leaves over the round trip. */
#define MINITCP_NO_TIMESTAMPS 1
#define MINITCP_NO_SACK 2
#define MINITCP_NO_WINDOW_SCALING 4
#define MINITCP_NO_PACING 8

/* ---- The process-wide stack --------------------------------------------------------------- */

/*
 * Gives the process a stack with `addresses` (as in minitcp_config) on TUN device `tun`. Its thread
 * takes no signals.
 * EALREADY if it has one; EBUSY if another process uses the device; EPERM; ENODEV if there is no
 * such device, or no /dev/net/tun.
 */
int minitcp_init(const char *tun, const char *addresses);

/* As minitcp_init(), with all settings. */
int minitcp_init_with(const char *tun, const struct minitcp_config *config);

/*
 * Closes all sockets of the process-wide stack, waits at most `timeout_ms` (negative: as long as
 * it takes, whatever SO_LINGER says) until what they sent is acknowledged, and ends the stack.
 * ETIMEDOUT if time was too short: the stack is gone all the same. ENETDOWN if there is none.
 */
int minitcp_exit(int timeout_ms);

/* ---- Sockets, as POSIX has them ----------------------------------------------------------- */

/*
 * AF_INET or AF_INET6; SOCK_STREAM or SOCK_DGRAM, with SOCK_NONBLOCK and SOCK_CLOEXEC (which
 * means nothing); protocol 0, IPPROTO_TCP or IPPROTO_UDP. Returns the lowest free descriptor.
 * ENETDOWN before minitcp_init(), EMFILE beyond 65536 descriptors, ESOCKTNOSUPPORT,
 * EPROTONOSUPPORT.
 */
int minitcp_socket(int domain, int type, int protocol);

/* minitcp_socket(domain, SOCK_DGRAM, 0). */
int minitcp_udp_socket(int domain);

int minitcp_bind(int fd, const struct sockaddr *addr, socklen_t addr_len);
int minitcp_listen(int fd, int backlog);

/*
 * `addr` may be NULL. An address longer than *addr_len is cut; *addr_len is its whole length
 * afterwards.
 */
int minitcp_accept(int fd, struct sockaddr *addr, socklen_t *addr_len);

/* AF_UNSPEC takes the peer of a UDP socket away. */
int minitcp_connect(int fd, const struct sockaddr *addr, socklen_t addr_len);

/* SHUT_RD, SHUT_WR, SHUT_RDWR. Whoever waits for the socket looks again. */
int minitcp_shutdown(int fd, int how);

/*
 * The socket ends with its last descriptor, at once: calls that wait for it in other threads
 * return EBADF. (On Linux they would go on waiting.)
 */
int minitcp_close(int fd);

/* Another descriptor of the same socket. */
int minitcp_dup(int fd);

/*
 * MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL and MSG_OOB count (EOPNOTSUPP of datagrams); others are
 * ignored.
 * NULL is good for data of length 0.
 */
ssize_t minitcp_send(int fd, const void *data, size_t len, int flags);

/* As minitcp_send() if `addr` is NULL. */
ssize_t minitcp_sendto(int fd, const void *data, size_t len, int flags,
                       const struct sockaddr *addr, socklen_t addr_len);

/*
 * MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL and MSG_OOB count: the last takes the urgent octet,
 * and never waits (EAGAIN if it has not come, EINVAL if there is none). A read stops at it.
 */
ssize_t minitcp_recv(int fd, void *buffer, size_t len, int flags);

/* `addr` may be NULL; *addr_len is 0 afterwards for streams, and else as in minitcp_accept(). */
ssize_t minitcp_recvfrom(int fd, void *buffer, size_t len, int flags,
                         struct sockaddr *addr, socklen_t *addr_len);

/*
 * Several buffers, at most 1024 (EMSGSIZE; of readv and writev EINVAL), in one call, or as one
 * datagram. Control messages: none comes, and to send one is EINVAL. msg_flags has MSG_TRUNC
 * afterwards where a datagram was cut.
 */
ssize_t minitcp_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t minitcp_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t minitcp_writev(int fd, const struct iovec *buffers, int count);
ssize_t minitcp_readv(int fd, const struct iovec *buffers, int count);

/*
 * SOL_SOCKET:   SO_RCVTIMEO, SO_SNDTIMEO (struct timeval), SO_LINGER (struct linger), and of type
 *               int SO_REUSEADDR, SO_REUSEPORT, SO_RCVBUF, SO_SNDBUF, SO_KEEPALIVE, SO_BROADCAST,
 *               SO_OOBINLINE, SO_RCVLOWAT; to be read only: SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL,
 *               SO_ACCEPTCONN
 * IPPROTO_TCP:  TCP_CONGESTION (a name), and of type int TCP_NODELAY, TCP_CORK, TCP_QUICKACK,
 *               TCP_MAXSEG, TCP_USER_TIMEOUT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
 *               TCP_DEFER_ACCEPT, TCP_NOTSENT_LOWAT; to be read only: TCP_INFO (struct tcp_info of
 *               <linux/tcp.h>; what is not known is 0)
 * IPPROTO_IP:   IP_TTL, IP_TOS (int or char)
 * IPPROTO_IPV6: IPV6_UNICAST_HOPS, IPV6_TCLASS, IPV6_V6ONLY
 *
 * ENOPROTOOPT for other options, and for those of streams on a UDP socket.
 */
int minitcp_setsockopt(int fd, int level, int name, const void *value, socklen_t len);

/* A value longer than *len is cut; *len is what was written afterwards. */
int minitcp_getsockopt(int fd, int level, int name, void *value, socklen_t *len);

int minitcp_getsockname(int fd, struct sockaddr *addr, socklen_t *addr_len);
int minitcp_getpeername(int fd, struct sockaddr *addr, socklen_t *addr_len);

/*
 * F_GETFL (`argument` is ignored): O_RDWR, and O_NONBLOCK where no call waits. F_SETFL with
 * O_NONBLOCK; other flags are ignored.
 */
int minitcp_fcntl(int fd, int command, int argument);

/* 1 if the next octet to be read is the last urgent one, or stands in its place; else 0. */
int minitcp_sockatmark(int fd);

/* FIONREAD (SIOCINQ), SIOCOUTQ (TIOCOUTQ), FIONBIO, SIOCATMARK. ENOTTY for others. */
int minitcp_ioctl(int fd, unsigned long request, int *argument);

/*
 * POLLIN, POLLPRI, POLLOUT, POLLRDHUP, POLLERR, POLLHUP, POLLNVAL, POLLRDNORM, POLLWRNORM. Negative
 * descriptors are passed over. Sockets of stacks without a device are looked at, but not waited
 * for: if there are no others, the call returns at once.
 */
int minitcp_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

/* ---- Packets: a stack without a device ---------------------------------------------------- */

/*
 * You own the clock. Times are nanoseconds since any moment you like; a time earlier than the
 * latest that the stack has heard counts as that. The loop of an embedder:
 *
 *    for (;;) {
 *        while ((len = minitcp_stack_output(stack, packet, sizeof packet, now, &when)) > 0)
 *            send it;
 *        wait for a packet until `when`;
 *        if (one came) minitcp_stack_input(stack, packet, len, now);
 *        use the sockets;
 *    }
 */
typedef struct minitcp_stack minitcp_stack;

/* "Not before something else happens." */
#define MINITCP_NEVER UINT64_MAX

/* NULL and errno if `config` is bad (EINVAL), or beyond 4096 stacks (EMFILE). */
minitcp_stack *minitcp_stack_new(const struct minitcp_config *config);

/* Closes the stack's sockets, without a word to their peers, and frees it. EBADF if it is gone. */
int minitcp_stack_free(minitcp_stack *stack);

/*
 * As minitcp_socket(), on this stack. The descriptor works with all functions above. It never
 * waits, as with O_NONBLOCK, which cannot be cleared: EAGAIN, and EINPROGRESS from
 * minitcp_connect().
 */
int minitcp_stack_socket(minitcp_stack *stack, int domain, int type, int protocol);

/* An IP packet has come. A bad one is dropped, which is no error. */
int minitcp_stack_input(minitcp_stack *stack, const void *packet, size_t len, uint64_t now_ns);

/*
 * The next packet to send, in `buffer`: returns its length, and *when_ns is its time. 0 if there is
 * none now, and *when_ns is when to ask again if nothing happens before (MINITCP_NEVER: no need
 * to). `when_ns` may be NULL. Serves due timers first. EMSGSIZE if `len` is less than the MTU; no
 * packet is lost by that.
 */
ssize_t minitcp_stack_output(minitcp_stack *stack, void *buffer, size_t len, uint64_t now_ns,
                             uint64_t *when_ns);

/*
 * When the stack's next timer is due, or MINITCP_NEVER (also, with errno, for a bad stack).
 * Packets that wait to be sent have no deadline: ask minitcp_stack_output().
 */
uint64_t minitcp_stack_deadline(minitcp_stack *stack);

/* It is `now_ns`: serves due timers. */
int minitcp_stack_advance(minitcp_stack *stack, uint64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
