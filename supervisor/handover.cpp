#include "supervisor/handover.hpp"

namespace topsman::supervisor {

void for_each_descriptor(Handover& handover, const std::function<void(int&)>& visit) {
    const auto visit_open = [&visit](int& fd) {
        if (fd >= 0) {
            visit(fd);
        }
    };
    const auto visit_all = [&visit_open](std::vector<int>& fds) {
        for (int& fd : fds) {
            visit_open(fd);
        }
    };
    for (HandedListener& listener : handover.listeners) {
        visit_all(listener.sockets);
    }
    for (HandedWorker& worker : handover.workers) {
        for (int* fd : {&worker.pidfd, &worker.notify, &worker.output, &worker.wake}) {
            visit_open(*fd);
        }
        visit_all(worker.sockets);
    }
    visit_all(handover.spare_sockets);
    visit_all(handover.clients);
    for (int* fd : {&handover.lock, &handover.control, &handover.caller, &handover.watch}) {
        visit_open(*fd);
    }
}

std::vector<int> descriptors_of(const Handover& handover) {
    std::vector<int> fds;
    Handover copy = handover;
    for_each_descriptor(copy, [&fds](int& fd) { fds.push_back(fd); });
    return fds;
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& fds) {
    std::vector<int> numbers;
    for (const UniqueFd& fd : fds) {
        numbers.push_back(fd.get());
    }
    return numbers;
}

std::vector<UniqueFd> owned(const std::vector<int>& fds) {
    return std::vector<UniqueFd>(fds.begin(), fds.end());
}

}  // namespace topsman::supervisor
