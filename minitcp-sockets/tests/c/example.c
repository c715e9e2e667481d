/* Two hosts in one program: a datagram goes to port 53 of the second one, and is answered. */
#include <arpa/inet.h>
#include <minitcp.h>
#include <stdio.h>

static void carry(minitcp_stack *from, minitcp_stack *to, uint64_t now)
{
    unsigned char packet[1500];
    ssize_t len;
    while ((len = minitcp_stack_output(from, packet, sizeof packet, now, NULL)) > 0)
        minitcp_stack_input(to, packet, (size_t)len, now);
}

int main(void)
{
    struct minitcp_config config = { .size = sizeof config, .addresses = "10.0.0.1/24" };
    minitcp_stack *asks = minitcp_stack_new(&config);
    config.addresses = "10.0.0.2/24";
    minitcp_stack *answers = minitcp_stack_new(&config);

    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(53) }, from;
    inet_pton(AF_INET, "10.0.0.2", &addr.sin_addr);
    int server = minitcp_stack_socket(answers, AF_INET, SOCK_DGRAM, 0);
    minitcp_bind(server, (struct sockaddr *)&addr, sizeof addr);
    int client = minitcp_stack_socket(asks, AF_INET, SOCK_DGRAM, 0);
    minitcp_sendto(client, "who?", 4, 0, (struct sockaddr *)&addr, sizeof addr);
    carry(asks, answers, 0);

    char text[16];
    socklen_t len = sizeof from;
    minitcp_recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &len);
    minitcp_sendto(server, "me", 2, 0, (struct sockaddr *)&from, len);
    carry(answers, asks, 1000000); /* A millisecond later. */
    ssize_t count = minitcp_recv(client, text, sizeof text, 0);
    printf("answer: %.*s\n", (int)count, text);
    return minitcp_stack_free(asks) || minitcp_stack_free(answers) || count != 2;
}
