#pragma once

// Listening sockets: bound by the master, inherited by workers, kept as long as the configuration
// has them.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace topsman::posix {

struct BoundListener {
    config::Listener spec;
    std::string address;            ///< as bound: port 0 resolved
    std::vector<UniqueFd> sockets;  ///< one; with accept: reuse_port one for each worker
    std::uint64_t inode = 0;        ///< of the first
    bool from_systemd = false;
    std::uint32_t nudges = 0;      ///< connections of our own that woke a worker there
    std::uint64_t path_inode = 0;  ///< of a unix socket's file that we made; 0: none of ours
    std::uint32_t row = 0;         ///< of the scoreboard; the listener's as long as it is open
    bool in_force = true;          ///< else it goes away with its last worker
    bool gate_closed = false;      ///< nobody new gets in (gate.hpp)
};

struct InheritedSocket {
    UniqueFd fd;
    std::string name;  ///< empty: it has none
};

/// Sockets that a service manager handed over (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES). Takes them
/// out of the environment and makes them close-on-exec.
[[nodiscard]] std::vector<InheritedSocket> take_inherited_sockets();

struct FileOwner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

/// By what the file says of a listener's owner: "www-data:adm".
using Owners = std::map<std::string, FileOwner>;

/// Looks up the owners of unix sockets; blocks on the user database, so it is done before a loop
/// needs them. Error names the listener.
[[nodiscard]] Result<Owners> resolve_owners(const std::vector<config::Listener>& specs);

/// By listener's name and Listener::socket(): sockets that were taken out of living workers.
using KeptSockets = std::map<std::pair<std::string, std::string>, std::vector<UniqueFd>>;

/// Is this a listening socket bound to what `address` says (whose port may be 0: any)?
[[nodiscard]] bool is_listener_of(int fd, const std::string& address);

/// Addresses are numeric (or `localhost`, which is 127.0.0.1): names are not looked up. `[::]` is
/// IPv6 alone, so that it and 0.0.0.0 can be listeners side by side.
///
/// Binds all or none. A socket in `inherited` that is bound to a listener's address is used instead
/// of binding (it is moved out); else what was `kept` of it is. `reuse_port_sockets`: how many
/// sockets each reuse_port listener gets. Errors: "listener http: bind 0.0.0.0:80: Permission
/// denied (needs CAP_NET_BIND_SERVICE or a port above 1023)"; a unix socket that a living process
/// listens on is an error that says so, one that a dead process left is replaced.
[[nodiscard]] Result<std::vector<BoundListener>> bind_listeners(
    const std::vector<config::Listener>& specs, std::vector<UniqueFd>& inherited,
    std::uint32_t reuse_port_sockets, KeptSockets kept = {}, const Owners& owners = {});

/// The same beside those that are bound already, which keep working. One at the same address is
/// shared, whatever it is called; one at the same port of another address (0.0.0.0 and 127.0.0.1)
/// makes room for as long as it takes to bind.
[[nodiscard]] Result<std::vector<BoundListener>> bind_beside(
    const std::vector<config::Listener>& specs, std::vector<UniqueFd>& inherited,
    const std::vector<BoundListener>& bound, const Owners& owners = {});

/// Could bind_beside() bind these? Each is bound and let go, and listens at no time, so that nobody
/// gets in; of the path of a unix socket is asked who has it. The same errors.
[[nodiscard]] Result<void> try_beside(const std::vector<config::Listener>& specs,
                                      const std::vector<UniqueFd>& inherited,
                                      const std::vector<BoundListener>& bound);

/// Sets backlog, mode and owner as its specification says, whatever they are. Error: what was
/// refused; the rest is done.
Result<void> tune(const BoundListener& listener, const Owners& owners = {});

/// The same as far as it changes, for `spec`, which `listener` has from now on.
Result<void> retune(BoundListener& listener, const config::Listener& spec,
                    const Owners& owners = {});

/// A clean stop removes the files of its unix sockets, unless somebody has put another one there.
void remove_socket_files(std::span<const BoundListener> listeners) noexcept;

/// Gives a reuse_port listener as many sockets as there are workers to accept on them: the kernel
/// deals connections to every socket of the group, attended or not. One too many is closed when
/// nobody holds it; what waits in its queue is lost unless net.ipv4.tcp_migrate_req is 1.
Result<void> fit_group(BoundListener& listener, std::uint32_t wanted,
                       const std::function<bool(int fd)>& is_in_use);

/// What /proc and sock_diag(7) know a socket by; 0: it is none.
[[nodiscard]] std::uint64_t socket_inode(int fd) noexcept;

/// O_NONBLOCK lives on the open file description that all workers share: sets it again where a
/// worker has cleared it. True: it had to be repaired.
bool repair_flags(const BoundListener& listener);

/// Connections waiting to be accepted and the kernel's limit, for sockets found by inode; through
/// sock_diag(7), so anybody may ask.
struct QueueLength {
    std::uint32_t waiting = 0;
    std::uint32_t limit = 0;
};

[[nodiscard]] std::map<std::uint64_t, QueueLength> listener_queues();

}  // namespace topsman::posix
