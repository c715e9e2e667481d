/* What do all programs of these tests share? Checks that name their line, and addresses. */
#ifndef CHECK_H
#define CHECK_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minitcp.h"

/* Ends the program: what follows would fail, too. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* A call that must fail with -1 and this errno. Others of the table are still looked at. */
#define FAILS(call, code)                                                                          \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long result_ = (long long)(call);                                                     \
        rows++;                                                                                    \
        if (result_ != -1 || errno != (code)) {                                                    \
            fprintf(stderr, "%s:%d: %s: %lld, errno %d (%s), not %s\n", __FILE__, __LINE__, #call, \
                    result_, errno, strerror(errno), #code);                                       \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

/* A call that looks like misuse and is none. */
#define GIVES(call, value)                                                                         \
    do {                                                                                           \
        long long result_ = (long long)(call);                                                     \
        rows++;                                                                                    \
        if (result_ != (long long)(value)) {                                                       \
            fprintf(stderr, "%s:%d: %s: %lld, errno %d, not %s\n", __FILE__, __LINE__, #call,      \
                    result_, errno, #value);                                                       \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

#define SOCKADDR(addr) ((struct sockaddr *)&(addr))

static inline struct sockaddr_in ipv4(const char *text, unsigned port)
{
    struct sockaddr_in addr;
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_port = htons((uint16_t)port);
    CHECK(inet_pton(AF_INET, text, &addr.sin_addr) == 1);
    return addr;
}

static inline struct sockaddr_in6 ipv6(const char *text, unsigned port)
{
    struct sockaddr_in6 addr;
    memset(&addr, 0, sizeof addr);
    addr.sin6_family = AF_INET6;
    addr.sin6_port = htons((uint16_t)port);
    CHECK(inet_pton(AF_INET6, text, &addr.sin6_addr) == 1);
    return addr;
}

static inline minitcp_stack *new_stack(const char *addresses, uint64_t seed)
{
    struct minitcp_config config;
    memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.addresses = addresses;
    config.seed = seed;
    minitcp_stack *stack = minitcp_stack_new(&config);
    CHECK(stack != NULL);
    return stack;
}

#endif
