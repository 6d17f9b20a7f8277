#pragma once

// The cluster's listening sockets: those of the configuration in force, and those of another one
// whose workers are not gone yet or to which a reload may still go back. New ones are bound before
// old ones are closed.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "supervisor/posix/listener.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace topsman::supervisor {

class ListenerSet {
  public:
    /// `spare`: sockets that a service manager handed over and no listener uses; one may, later.
    /// `owners`: of all that are bound, and of what may be gone back to.
    ListenerSet(std::vector<posix::BoundListener> bound, std::vector<UniqueFd> spare,
                posix::Owners owners);

    /// Of those that are prepared next.
    void learn(const posix::Owners& owners) { owners_.insert(owners.begin(), owners.end()); }

    /// Binds what is wanted and not there, all of it or nothing, and changes nothing else. Error
    /// names the listener.
    Result<void> prepare(const std::vector<config::Listener>& wanted);

    /// Could prepare() do it? Nothing stays bound.
    [[nodiscard]] Result<void> try_to_prepare(const std::vector<config::Listener>& wanted) const;

    /// From now on these are it; they are prepared. Backlog, mode and owner take effect, gates that
    /// were closed are opened. Returns a sentence for each thing that could not be done.
    std::vector<std::string> put_in_force(const std::vector<config::Listener>& wanted);

    /// The rows that living workers know their listeners by.
    void keep_rows(const std::map<std::uint64_t, std::uint32_t>& by_inode);

    struct Closed {
        std::string name;
        std::string address;
        std::uint32_t waiting = 0;  ///< connections that nobody took, and are lost
    };

    using IsNeeded = std::function<bool(const posix::BoundListener& listener)>;

    /// Closes those that are not in force and not needed either.
    std::vector<Closed> close_others(const IsNeeded& is_needed);

    /// Nobody new gets in; where a listener in force has the same socket, all do.
    Result<void> close_gate(posix::BoundListener& listener) const;

    /// A socket of a listener in force, also if this one has another name.
    [[nodiscard]] bool is_in_force(const posix::BoundListener& listener) const;
    [[nodiscard]] bool has_leaving() const;

    [[nodiscard]] const std::vector<UniqueFd>& spare() const { return spare_; }

    /// In no order that means anything.
    [[nodiscard]] std::vector<posix::BoundListener>& all() { return bound_; }

    [[nodiscard]] const std::vector<posix::BoundListener>& all() const { return bound_; }

  private:
    /// What is wanted and not there. Error: there is no room for it.
    [[nodiscard]] Result<std::vector<config::Listener>> missing(
        const std::vector<config::Listener>& wanted) const;
    [[nodiscard]] posix::BoundListener* find(const config::Listener& spec);
    [[nodiscard]] std::uint32_t free_row() const;

    std::vector<posix::BoundListener> bound_;
    std::vector<UniqueFd> spare_;
    posix::Owners owners_;
};

}  // namespace topsman::supervisor
