/* The floor: an epoll loop that answers every request head with one fixed 1 KiB response.
 * No parsing, no cache: what the kernel's sockets alone cost. Usage: floor PORT */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char answer[2048], data[65536];
    int size = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n");
    memset(answer + size, 'x', 1024);
    size += 1024;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, server = socket(AF_INET, SOCK_STREAM, 0), loop = epoll_create1(0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 1024)) return perror("floor"), 1;
    struct epoll_event ready[64], interest = {.events = EPOLLIN, .data.fd = server};
    epoll_ctl(loop, EPOLL_CTL_ADD, server, &interest);
    for (;;) {
        int count = epoll_wait(loop, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == server) {
                interest.data.fd = accept(server, NULL, NULL);
                setsockopt(interest.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                epoll_ctl(loop, EPOLL_CTL_ADD, interest.data.fd, &interest);
                continue;
            }
            ssize_t got = read(fd, data, sizeof data);
            if (got <= 0) { close(fd); continue; }
            /* wrk sends one whole head at a time; a head cut in two would be answered at its end. */
            if (got >= 4 && !memcmp(data + got - 4, "\r\n\r\n", 4) && write(fd, answer, size) != size) close(fd);
        }
    }
}
