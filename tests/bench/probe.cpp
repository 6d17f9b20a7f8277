// The smallest worker there is: linked statically, so that next to nothing lies between exec and
// its first act. That act is a datagram {clock, pid} to BENCH_STAMPS; the second is READY=1 to
// NOTIFY_SOCKET. Then it waits to be killed.

#include "tests/bench/stamp.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

void send_to(const char* name, const void* bytes, std::size_t size) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(name);
    if (length >= sizeof(address.sun_path)) {
        return;
    }
    std::memcpy(address.sun_path, name, length);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    // An abstract name has its length and no NUL (unix(7)); a path may be given without its NUL.
    (void)::sendto(socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
    (void)::close(socket);
}

}  // namespace

int main() {
    const topsman::bench::Stamp stamp{topsman::bench::now_ns(), ::getpid()};
    if (const char* name = std::getenv("BENCH_STAMPS")) {
        send_to(name, &stamp, sizeof(stamp));
    }
    if (const char* name = std::getenv("NOTIFY_SOCKET")) {
        constexpr char kReady[] = "READY=1";
        send_to(name, kReady, sizeof(kReady) - 1);
    }
    for (;;) {
        (void)::pause();
    }
}
