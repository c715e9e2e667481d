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

/* Moves the clock to the next event, and everything that happens then; 0 if nothing will. */
static inline int link_step(struct link *link)
{
    uint64_t next = MINITCP_NEVER;
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
    if (next == MINITCP_NEVER)
        return 0;
    CHECK(next > link->now);
    link->now = next;
    for (int i = 0; i < 2; i++)
        link_deliver(link, &link->ways[i]);
    return 1;
}

#endif
