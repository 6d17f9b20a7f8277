#pragma once

// The descriptor store of our service manager (sd_pid_notify_with_fds(3), FDSTORE=1): it holds the
// listening sockets while there is no master. So they and who waits in them outlive the master and
// all workers together. A unit has one as large as its FileDescriptorStoreMax=.

#include "config/model.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/posix/notify_socket.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace topsman::supervisor {

/// What is in the store: each socket once, by inode, with the name that it has there.
using StoredNames = std::map<std::uint64_t, std::string>;

/// By what they are called.
[[nodiscard]] StoredNames stored_names(const std::vector<std::string>& names);

struct StoredSockets {
    posix::KeptSockets sockets;
    std::vector<UniqueFd> others;  ///< that no listener has any more
    StoredNames names;             ///< of all

    /// They listen no more, although the manager has not let go of them yet: they would be in the
    /// way of who binds now. Only where nobody lives who uses them.
    void close_others();
};

/// What a dead master had stored, out of all that the manager has handed over. A listener that is
/// called otherwise by now has its socket by the address.
[[nodiscard]] StoredSockets take_stored(std::vector<posix::InheritedSocket>& given,
                                        const std::vector<config::Listener>& known);

class FdStore {
  public:
    explicit FdStore(StoredNames stored) : stored_(std::move(stored)) {}

    /// Stores what is new and removes what is gone. What the manager does not take now is tried the
    /// next time. Sockets that it has bound itself it has already.
    void follow(const std::vector<posix::BoundListener>& listeners,
                const posix::ServiceManager& manager);

    /// For the program that is executed in our place.
    [[nodiscard]] std::vector<std::string> names() const;

  private:
    StoredNames stored_;
};

}  // namespace topsman::supervisor
