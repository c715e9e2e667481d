/*
 * Can all functions be called from any thread at any time? Transfers with a thread at each end and
 * one that carries packets; then threads that close and free what others are using.
 */
#define _GNU_SOURCE

#include <pthread.h>
#include <sched.h>

#include "check.h"

#define TRANSFERS 4
#define OCTETS 200000
#define ROUNDS 1000
#define DESCRIPTORS 40

static minitcp_stack *stacks[2];
static int transfers_left = TRANSFERS;

/* Carries packets both ways, a millisecond each time. */
static void *carry(void *unused)
{
    (void)unused;
    unsigned char packet[1500];
    uint64_t now = 0;
    while (__atomic_load_n(&transfers_left, __ATOMIC_SEQ_CST) > 0) {
        now += 1000000;
        for (int i = 0; i < 2; i++) {
            ssize_t len;
            uint64_t when;
            while ((len = minitcp_stack_output(stacks[i], packet, sizeof packet, now, &when)) > 0)
                CHECK(minitcp_stack_input(stacks[1 - i], packet, (size_t)len, now) == 0);
            CHECK(len == 0);
        }
        sched_yield();
    }
    return NULL;
}

static unsigned char pattern(size_t at) { return (unsigned char)(at ^ at >> 8); }

static void *send_all(void *socket)
{
    int fd = *(int *)socket;
    unsigned char out[5000];
    for (size_t sent = 0; sent < OCTETS;) {
        size_t len = sizeof out < OCTETS - sent ? sizeof out : OCTETS - sent;
        for (size_t i = 0; i < len; i++)
            out[i] = pattern(sent + i);
        ssize_t count = minitcp_send(fd, out, len, 0);
        if (count == -1) {
            CHECK(errno == EAGAIN);
            sched_yield();
        } else {
            sent += (size_t)count;
        }
    }
    CHECK(minitcp_shutdown(fd, SHUT_WR) == 0);
    return NULL;
}

static void *receive_all(void *socket)
{
    int fd = *(int *)socket;
    unsigned char in[3000];
    size_t received = 0;
    for (;;) {
        ssize_t count = minitcp_recv(fd, in, sizeof in, 0);
        if (count == 0)
            break;
        if (count == -1) {
            CHECK(errno == EAGAIN);
            sched_yield();
            continue;
        }
        for (ssize_t i = 0; i < count; i++)
            CHECK(in[i] == pattern(received + (size_t)i));
        received += (size_t)count;
    }
    CHECK(received == OCTETS);
    __atomic_fetch_sub(&transfers_left, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static void transfers(void)
{
    struct sockaddr_in addr = ipv4("10.0.0.2", 7);
    int fds[TRANSFERS][2];
    pthread_t threads[TRANSFERS][2];
    stacks[0] = new_stack("10.0.0.1/24", 1);
    stacks[1] = new_stack("10.0.0.2/24", 2);
    pthread_t carrier = start(carry, NULL);
    int listener = minitcp_stack_socket(stacks[1], AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_bind(listener, SOCKADDR(addr), sizeof addr) == 0);
    CHECK(minitcp_listen(listener, TRANSFERS) == 0);
    for (int i = 0; i < TRANSFERS; i++) {
        fds[i][0] = minitcp_stack_socket(stacks[0], AF_INET, SOCK_STREAM, 0);
        /* The carrier may be quick enough for the handshake to be over. */
        CHECK(minitcp_connect(fds[i][0], SOCKADDR(addr), sizeof addr) == 0 || errno == EINPROGRESS);
        while ((fds[i][1] = minitcp_accept(listener, NULL, NULL)) == -1)
            CHECK(errno == EAGAIN && sched_yield() == 0);
        threads[i][0] = start(receive_all, &fds[i][1]);
        struct pollfd entry = { fds[i][0], POLLOUT, 0 };
        while (minitcp_poll(&entry, 1, 0) == 0)
            sched_yield();
        threads[i][1] = start(send_all, &fds[i][0]);
    }
    for (int i = 0; i < TRANSFERS; i++)
        for (int j = 0; j < 2; j++)
            CHECK(pthread_join(threads[i][j], NULL) == 0);
    CHECK(pthread_join(carrier, NULL) == 0);
    CHECK(minitcp_stack_free(stacks[0]) == 0 && minitcp_stack_free(stacks[1]) == 0);
}

static minitcp_stack *shared;

/* Uses whatever stack and whatever descriptor there happens to be. */
static void *misuse(void *number)
{
    uint32_t random = *(const uint32_t *)number;
    struct sockaddr_in addr = ipv4("10.0.0.1", 7), name;
    unsigned char data[1500];
    memset(data, 0, sizeof data);
    for (int i = 0; i < ROUNDS; i++) {
        random = random * UINT32_C(1664525) + UINT32_C(1013904223);
        int fd = 3 + (int)(random >> 16) % DESCRIPTORS, result = 0;
        minitcp_stack *stack = __atomic_load_n(&shared, __ATOMIC_SEQ_CST);
        socklen_t len = sizeof name;
        struct pollfd entries[] = { { fd, POLLIN, 0 }, { fd + 1, POLLOUT, 0 } };
        switch ((random >> 8) % 13) {
        case 0: result = minitcp_stack_socket(stack, AF_INET, SOCK_STREAM, 0); break;
        case 1: result = minitcp_stack_socket(stack, AF_INET, SOCK_DGRAM, 0); break;
        case 2: result = minitcp_close(fd); break;
        case 3: result = minitcp_dup(fd); break;
        case 4: result = minitcp_bind(fd, SOCKADDR(addr), sizeof addr); break;
        case 5: result = minitcp_listen(fd, 3); break;
        case 6: result = minitcp_accept(fd, SOCKADDR(name), &len); break;
        case 7: result = minitcp_connect(fd, SOCKADDR(addr), sizeof addr); break;
        case 8: result = (int)minitcp_send(fd, data, sizeof data, 0); break;
        case 9: result = (int)minitcp_recvfrom(fd, data, 9, 0, SOCKADDR(name), &len); break;
        case 10: result = minitcp_poll(entries, 2, 0); break;
        case 11: result = (int)minitcp_stack_output(stack, data, sizeof data, 0, NULL); break;
        default:
            stack = new_stack("10.0.0.1/24", random | 1);
            stack = __atomic_exchange_n(&shared, stack, __ATOMIC_SEQ_CST);
            CHECK(minitcp_stack_free(stack) == 0);
        }
        CHECK(result >= -1 && (result >= 0 || (errno != EIO && errno != EFAULT)));
    }
    return NULL;
}

static void chaos(void)
{
    static uint32_t seeds[] = { 1, 2, 3, 4 };
    pthread_t threads[4];
    __atomic_store_n(&shared, new_stack("10.0.0.1/24", 1), __ATOMIC_SEQ_CST);
    for (int i = 0; i < 4; i++)
        threads[i] = start(misuse, &seeds[i]);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(minitcp_stack_free(__atomic_load_n(&shared, __ATOMIC_SEQ_CST)) == 0);
}

/* Makes some sockets on each stack, which is freed at any moment. */
static void *make_sockets(void *unused)
{
    (void)unused;
    minitcp_stack *stack, *seen = NULL;
    int made = 0;
    while ((stack = __atomic_load_n(&shared, __ATOMIC_SEQ_CST)) != NULL) {
        made = stack == seen ? made + 1 : 0;
        seen = stack;
        if (made < 100)
            CHECK(minitcp_stack_socket(stack, AF_INET, SOCK_DGRAM, 0) >= 3 || errno == EBADF);
        else
            sched_yield();
    }
    return NULL;
}

/* A stack that is freed leaves no descriptor behind, whoever made one meanwhile. */
static void leftovers(void)
{
    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = "10.0.0.1";
    config.connections = config.listeners = config.udp_sockets = 1;
    config.buffer_bytes = 4096;
    __atomic_store_n(&shared, minitcp_stack_new(&config), __ATOMIC_SEQ_CST);
    pthread_t threads[2] = { start(make_sockets, NULL), start(make_sockets, NULL) };
    for (int i = 0; i < ROUNDS; i++) {
        minitcp_stack *stack = i == ROUNDS - 1 ? NULL : minitcp_stack_new(&config);
        stack = __atomic_exchange_n(&shared, stack, __ATOMIC_SEQ_CST);
        CHECK(minitcp_stack_free(stack) == 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    minitcp_stack *last = new_stack("10.0.0.1", 1);
    CHECK(minitcp_stack_socket(last, AF_INET, SOCK_DGRAM, 0) == 3);
    CHECK(minitcp_stack_free(last) == 0);
}

int main(void)
{
    transfers();
    chaos();
    leftovers();
    return 0;
}
