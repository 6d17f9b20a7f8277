#include "supervisor/listener_handover.hpp"

namespace topsman::supervisor {

std::vector<HandedListener> handed_listeners(const ListenerSet& listeners) {
    std::vector<HandedListener> handed;
    for (const posix::BoundListener& bound : listeners.all()) {
        handed.push_back({.spec = bound.spec,
                          .address = bound.address,
                          .sockets = numbers_of(bound.sockets),
                          .inode = bound.inode,
                          .from_systemd = bound.from_systemd,
                          .nudges = bound.nudges,
                          .path_inode = bound.path_inode,
                          .row = bound.row,
                          .in_force = bound.in_force,
                          .gate_closed = bound.gate_closed});
    }
    return handed;
}

ListenerSet resumed_listeners(const Handover& handover, posix::Owners owners) {
    std::vector<posix::BoundListener> bound;
    for (const HandedListener& handed : handover.listeners) {
        bound.push_back({.spec = handed.spec,
                         .address = handed.address,
                         .sockets = owned(handed.sockets),
                         .inode = handed.inode,
                         .from_systemd = handed.from_systemd,
                         .nudges = handed.nudges,
                         .path_inode = handed.path_inode,
                         .row = handed.row,
                         .in_force = handed.in_force,
                         .gate_closed = handed.gate_closed});
    }
    return {std::move(bound), owned(handover.spare_sockets), std::move(owners)};
}

}  // namespace topsman::supervisor
