// SPDX-License-Identifier: Apache-2.0
/* udp-echo PORT: gives each datagram back to who sent it, over IPv6 and IPv4. */
#include <err.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	char data[2048];

	if (argc != 2)
		errx(2, "usage: udp-echo PORT");
	own.sin6_port = htons((unsigned short)atoi(argv[1]));
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		err(1, "port %s", argv[1]);
	for (;;) {
		struct sockaddr_in6 from;
		socklen_t length = sizeof(from);
		ssize_t size = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length);

		if (size < 0 || sendto(fd, data, (size_t)size, 0, (struct sockaddr *)&from, length) < 0)
			err(1, "a datagram");
	}
}
