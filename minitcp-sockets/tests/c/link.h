/* How do two stacks of one program talk? Over a link in virtual time, which may lose packets. */
#ifndef LINK_H
#define LINK_H

#include "check.h"

#define MILLISECOND UINT64_C(1000000)
#define PACKET 1500
#define IN_FLIGHT 1024

struct flight {
    uint64_t arrives;
    size_t len;
    unsigned char packet[PACKET];
};

/* One direction: a queue in the order of arrival. More than it holds is lost. */
struct way {
    minitcp_stack *from, *to;
    struct flight flights[IN_FLIGHT];
    size_t first, count;
};

struct link {
    uint64_t now, delay;
    /* One packet of so many is lost, by a generator of its own; 0: none. */
    unsigned loses_one_of;
    uint32_t random;
    unsigned long sent, lost;
    struct way ways[2];
};

static inline void link_init(struct link *link, minitcp_stack *a, minitcp_stack *b)
{
    memset(link, 0, sizeof *link);
    link->delay = 10 * MILLISECOND;
    link->random = 1;
    link->ways[0].from = link->ways[1].to = a;
    link->ways[0].to = link->ways[1].from = b;
}

static inline int link_loses(struct link *link)
{
    link->random = link->random * UINT32_C(1664525) + UINT32_C(1013904223);
    return link->loses_one_of != 0 && (link->random >> 8) % link->loses_one_of == 0;
}

/* Takes what the stack has to send; returns when to ask it again. */
static inline uint64_t link_collect(struct link *link, struct way *way)
{
    for (;;) {
        uint64_t when = 0;
        struct flight *flight = &way->flights[(way->first + way->count) % IN_FLIGHT];
        CHECK(way->count < IN_FLIGHT);
        ssize_t len =
            minitcp_stack_output(way->from, flight->packet, PACKET, link->now, &when);
        CHECK(len >= 0);
        if (len == 0)
            return when;
        CHECK(when == link->now);
        link->sent++;
        if (link_loses(link)) {
            link->lost++;
            continue;
        }
        flight->len = (size_t)len;
        flight->arrives = link->now + link->delay;
        way->count++;
    }
}

/* Delivers what has arrived. */
static inline void link_deliver(struct link *link, struct way *way)
{
    while (way->count > 0 && way->flights[way->first].arrives <= link->now) {
        struct flight *flight = &way->flights[way->first];
        CHECK(minitcp_stack_input(way->to, flight->packet, flight->len, link->now) == 0);
        way->first = (way->first + 1) % IN_FLIGHT;
        way->count--;
    }
}

/* When something will happen next, before `end` if at all. */
static inline uint64_t link_next(struct link *link, uint64_t end)
{
    uint64_t next = end;
    for (int i = 0; i < 2; i++) {
        struct way *way = &link->ways[i];
        uint64_t when = link_collect(link, way);
        if (when < next)
            next = when;
    }
    for (int i = 0; i < 2; i++) {
        struct way *way = &link->ways[i];
        if (way->count > 0 && way->flights[way->first].arrives < next)
            next = way->flights[way->first].arrives;
    }
    return next;
}

static inline void link_move(struct link *link, uint64_t to)
{
    link->now = to;
    for (int i = 0; i < 2; i++)
        link_deliver(link, &link->ways[i]);
}

/* Moves the clock to the next event, and everything that happens then; 0 if nothing will. */
static inline int link_step(struct link *link)
{
    uint64_t next = link_next(link, MINITCP_NEVER);
    if (next == MINITCP_NEVER)
        return 0;
    CHECK(next > link->now);
    link_move(link, next);
    return 1;
}

/* For so long, and no longer. */
static inline void link_pass(struct link *link, uint64_t time)
{
    uint64_t end = link->now + time;
    while (link->now < end)
        link_move(link, link_next(link, end));
    for (int i = 0; i < 2; i++)
        link_collect(link, &link->ways[i]); /* So that both know the time. */
}

/* A connection between two stacks at 10.0.0.1 and 10.0.0.2, which the first opens. */
static inline void link_connect(struct link *link, int pair[2])
{
    struct sockaddr_in addr = ipv4("10.0.0.2", 7);
    int listener = minitcp_stack_socket(link->ways[1].from, AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_bind(listener, SOCKADDR(addr), sizeof addr) == 0);
    CHECK(minitcp_listen(listener, 1) == 0);
    pair[0] = minitcp_stack_socket(link->ways[0].from, AF_INET, SOCK_STREAM, 0);
    CHECK(minitcp_connect(pair[0], SOCKADDR(addr), sizeof addr) == -1 && errno == EINPROGRESS);
    link_pass(link, 100 * MILLISECOND);
    pair[1] = minitcp_accept(listener, NULL, NULL);
    CHECK(pair[1] >= 3 && minitcp_close(listener) == 0);
}

#endif
