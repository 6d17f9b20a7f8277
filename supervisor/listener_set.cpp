#include "supervisor/listener_set.hpp"

#include "shm/limits.hpp"
#include "supervisor/posix/gate.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace topsman::supervisor {

namespace {

auto is_of(const config::Listener& spec) {
    return [&spec](const posix::BoundListener& listener) {
        return listener.spec.name == spec.name && listener.spec.socket() == spec.socket();
    };
}

}  // namespace

ListenerSet::ListenerSet(std::vector<posix::BoundListener> bound, std::vector<UniqueFd> spare,
                         posix::Owners owners)
    : bound_(std::move(bound)), spare_(std::move(spare)), owners_(std::move(owners)) {
    for (posix::BoundListener& listener : bound_) {
        if (listener.in_force && !listener.from_systemd) {
            posix::open_gate(listener);  // which a dead master may have closed
        }
    }
}

posix::BoundListener* ListenerSet::find(const config::Listener& spec) {
    const auto found = std::find_if(bound_.begin(), bound_.end(), is_of(spec));
    return found == bound_.end() ? nullptr : &*found;
}

std::uint32_t ListenerSet::free_row() const {
    std::uint32_t row = 0;
    while (std::any_of(bound_.begin(), bound_.end(),
                       [row](const auto& listener) { return listener.row == row; })) {
        ++row;
    }
    return row;
}

Result<std::vector<config::Listener>> ListenerSet::missing(
    const std::vector<config::Listener>& wanted) const {
    std::vector<config::Listener> missing;
    std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(missing),
                 [this](const config::Listener& spec) {
                     return std::none_of(bound_.begin(), bound_.end(), is_of(spec));
                 });
    if (bound_.size() + missing.size() > shm::kMaxListeners) {
        return plain_error("listeners: " + std::to_string(missing.size()) + " are new and " +
                           std::to_string(bound_.size()) +
                           " are there, as the workers of old ones have not left yet: at most " +
                           std::to_string(shm::kMaxListeners) + " can be open, try again later");
    }
    return missing;
}

Result<void> ListenerSet::try_to_prepare(const std::vector<config::Listener>& wanted) const {
    const auto missing = this->missing(wanted);
    return missing ? posix::try_beside(*missing, spare_, bound_) : missing.error();
}

Result<void> ListenerSet::prepare(const std::vector<config::Listener>& wanted) {
    const auto missing = this->missing(wanted);
    if (!missing) {
        return missing.error();
    }
    auto made = posix::bind_beside(*missing, spare_, bound_, owners_);
    if (!made) {
        return made.error();
    }
    for (posix::BoundListener& listener : *made) {
        listener.row = free_row();
        listener.in_force = false;
        bound_.push_back(std::move(listener));
    }
    return {};
}

void ListenerSet::keep_rows(const std::map<std::uint64_t, std::uint32_t>& by_inode) {
    for (posix::BoundListener& listener : bound_) {
        listener.row = shm::kMaxListeners;
    }
    for (posix::BoundListener& listener : bound_) {
        const auto known = by_inode.find(listener.inode);
        const auto has_it = [known](const auto& other) { return other.row == known->second; };
        if (known != by_inode.end() && std::none_of(bound_.begin(), bound_.end(), has_it)) {
            listener.row = known->second;
        }
    }
    for (posix::BoundListener& listener : bound_) {
        listener.row = listener.row == shm::kMaxListeners ? free_row() : listener.row;
    }
}

std::vector<std::string> ListenerSet::put_in_force(const std::vector<config::Listener>& wanted) {
    std::vector<std::string> complaints;
    std::set<std::uint64_t> open;
    for (posix::BoundListener& listener : bound_) {
        if (std::exchange(listener.in_force, false)) {
            open.insert(listener.inode);
        }
    }
    for (const config::Listener& spec : wanted) {
        if (posix::BoundListener* const listener = find(spec); listener != nullptr) {
            listener->in_force = true;
        } else {
            complaints.push_back("listener " + spec.name + ": " + spec.address + " is not bound");
        }
    }
    for (posix::BoundListener& listener : bound_) {
        // Closed by us, or by a dead master.
        if (!open.contains(listener.inode) && is_in_force(listener)) {
            posix::open_gate(listener);
        }
    }
    for (const config::Listener& spec : wanted) {
        posix::BoundListener* const listener = find(spec);
        if (const auto set =
                listener != nullptr ? posix::retune(*listener, spec, owners_) : Result<void>();
            !set) {
            complaints.push_back(set.error().message);
        }
    }
    return complaints;
}

bool ListenerSet::is_in_force(const posix::BoundListener& listener) const {
    return std::any_of(bound_.begin(), bound_.end(), [&listener](const auto& other) {
        return other.in_force && other.inode == listener.inode;
    });
}

bool ListenerSet::has_leaving() const {
    return std::any_of(bound_.begin(), bound_.end(),
                       [](const auto& listener) { return !listener.in_force; });
}

Result<void> ListenerSet::close_gate(posix::BoundListener& listener) const {
    return is_in_force(listener) ? Result<void>() : posix::close_gate(listener);
}

std::vector<ListenerSet::Closed> ListenerSet::close_others(const IsNeeded& is_needed) {
    std::vector<Closed> closed;
    for (std::size_t i = bound_.size(); i-- > 0;) {
        posix::BoundListener& listener = bound_[i];
        if (listener.in_force || is_needed(listener)) {
            continue;
        }
        Closed end{listener.spec.name, listener.address, 0};
        if (listener.from_systemd) {
            // It stays in systemd's hands, and a later reload may want it again.
            std::move(listener.sockets.begin(), listener.sockets.end(), std::back_inserter(spare_));
        } else if (!is_in_force(listener)) {
            end.waiting = posix::behind_gate(listener).waiting;
            posix::remove_gate(listener);
            posix::remove_socket_files({&listener, 1});
        }
        closed.push_back(std::move(end));
        bound_.erase(bound_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return closed;
}

}  // namespace topsman::supervisor
