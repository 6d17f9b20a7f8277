#include "tests/unit/worker/herd.hpp"

#include "shm/base/check.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::test {

namespace {

constexpr int kSafe = 200;  // above every number that a child's descriptors are given

shm::Segment make_segment(const std::string& name, std::vector<shm::NamedQueue> queues,
                          const shm::BlockClasses& blocks,
                          std::vector<shm::NamedChannel> channels) {
    (void)shm::Segment::remove(name);  // of a test that was killed and had our pid
    auto made = shm::Segment::create({.name = name,
                                      .lanes = 16,
                                      .queues = std::move(queues),
                                      .blocks = blocks,
                                      .histograms = {"time", "size"},
                                      .channels = std::move(channels),
                                      .reserve = std::size_t{256} * 1'024});
    CHECK(made.has_value());
    return std::move(*made);
}

bool is_readable(int fd) {
    pollfd wanted{fd, POLLIN, 0};
    const auto ms = std::chrono::milliseconds(kPatience).count();
    return ::poll(&wanted, 1, static_cast<int>(ms)) == 1;
}

void put(const char* name, const std::string& value) {
    CHECK(::setenv(name, value.c_str(), 1) == 0);
}

}  // namespace

Herd::Herd(std::vector<shm::NamedQueue> queues, const shm::BlockClasses& blocks,
           std::vector<shm::NamedChannel> channels)
    : name_("topsman.test." + std::to_string(::getpid())),
      segment_(make_segment(name_, std::move(queues), blocks, std::move(channels))) {
    std::string pattern = (std::filesystem::temp_directory_path() / "topsman-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    for (std::size_t i = 0; i < segment_.channels().size(); ++i) {
        segment_.channel(i).set_slots(1);
    }
    segment_.set_master(static_cast<std::uint32_t>(::getpid()), 1);
}

Herd::~Herd() {
    (void)shm::Segment::remove(name_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Member Herd::spawn(const MemberSetup& setup, const std::function<int()>& body) {
    Member member;
    const auto number = static_cast<std::uint32_t>(next_++);
    auto grant = shm::grant_lane(segment_, 100 + number, setup.is_spare ? kNoSlot : number,
                                 setup.is_spare ? shm::kSeatHeld : shm::kNoSpare);
    CHECK(grant.has_value());
    member.grant = *grant;
    member.wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    member.notify.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/" + std::to_string(number);
    std::memcpy(address.sun_path, path.data(), path.size());
    CHECK(::bind(member.notify.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) == 0);
    put("NOTIFY_SOCKET", path);
    put("TOPSMAN_SLOT", std::to_string(number));
    put("TOPSMAN_WORKER", std::to_string(100 + number));
    (void)std::fflush(nullptr);
    member.pid = ::fork();
    CHECK(member.pid >= 0);
    if (member.pid == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);  // A test that is killed leaves nobody.
        become_member(member, setup);
        int status = 1;
        try {
            status = body();
        } catch (const std::exception& error) {
            (void)std::fprintf(stderr, "in a child: %s\n", error.what());
        }
        (void)std::fflush(nullptr);
        ::_exit(status);
    }
    return member;
}

void Herd::become_member(const Member& member, const MemberSetup& setup) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    if (!shm::claim_lane(segment_.lanes()[member.grant.lane], member.grant.generation,
                         segment_.epoch(), pid)) {
        ::_exit(99);
    }
    std::vector<int> safe;
    for (const auto& [name, fd] : setup.listeners) {
        safe.push_back(::fcntl(fd, F_DUPFD, kSafe));
    }
    const int segment = ::fcntl(segment_.fd(), F_DUPFD, kSafe);
    const int wake = ::fcntl(member.wake.get(), F_DUPFD, kSafe);
    int next = 3;
    std::string names;
    for (std::size_t i = 0; i < safe.size(); ++i) {
        CHECK(::dup2(safe[i], next++) >= 0);
        CHECK(::close(safe[i]) == 0);
        names += (names.empty() ? "" : ":") + setup.listeners[i].first;
    }
    const std::uint32_t addressee = setup.has_lane_pid ? pid : pid + 1;
    put("LISTEN_FDS", std::to_string(setup.listeners.size()));
    put("LISTEN_FDNAMES", names);
    put("LISTEN_PID", std::to_string(addressee));
    put("TOPSMAN_PID", std::to_string(addressee));
    put("TOPSMAN_CLUSTER", "shop");
    put("TOPSMAN_POOL", "web");
    put("TOPSMAN_GENERATION", "1");
    if (setup.has_segment) {
        put("TOPSMAN_SEGMENT_FD", std::to_string(segment));
        put("TOPSMAN_LANE",
            std::to_string(member.grant.lane) + ":" + std::to_string(member.grant.generation));
        put("TOPSMAN_WAKE_FD", std::to_string(wake));
    }
    if (setup.is_spare) {
        CHECK(::unsetenv("TOPSMAN_SLOT") == 0);
    }
    for (const auto& [name, value] : setup.environment) {
        put(name.c_str(), value);
    }
}

int Herd::reap(Member& member) {
    int status = 0;
    CHECK(::waitpid(member.pid, &status, 0) == member.pid);
    shm::sweep_lane(segment_, member.grant.lane, member.grant.generation);
    return status;
}

std::string Herd::next_message(const Member& member) {
    if (!is_readable(member.notify.get())) {
        return "(nothing)";
    }
    char text[512];
    const ssize_t size = ::recv(member.notify.get(), text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? std::string("(nothing)") : std::string(text, static_cast<std::size_t>(size));
}

std::uint64_t Herd::counter(const std::string& name) const {
    for (const auto& entry : segment_.metric_names().entries()) {
        if (entry.name == name && entry.kind == shm::NameKind::Counter) {
            return shm::counter_total(segment_.metrics(), entry.row);
        }
    }
    return 0;
}

std::int64_t Herd::gauge(const std::string& name) const {
    for (const auto& entry : segment_.metric_names().entries()) {
        if (entry.name == name && entry.kind == shm::NameKind::Gauge) {
            return shm::gauge_total(segment_.metrics(), entry.row);
        }
    }
    return 0;
}

void Herd::show_listener(std::uint32_t index, const std::string& name, int socket, bool is_shared) {
    struct stat facts {};

    CHECK(::fstat(socket, &facts) == 0);
    shm::ListenerRecord record = {};
    record.inode = facts.st_ino;
    shm::put_text(record.name, name);
    record.accept = is_shared ? 0 : 1;
    segment_.scoreboard().listeners[index].store(record);
}

Signal::Signal() {
    int ends[2];
    CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    read_.reset(ends[0]);
    write_.reset(ends[1]);
}

void Signal::give() const {
    CHECK(::write(write_.get(), "x", 1) == 1);
}

void Signal::wait() const {
    char byte = 0;
    CHECK(is_readable(read_.get()));
    CHECK(::read(read_.get(), &byte, 1) == 1);
}

UniqueFd listen_somewhere(std::uint16_t& port) {
    UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(listener.get(), 512) == 0);
    socklen_t size = sizeof address;
    CHECK(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    return listener;
}

}  // namespace topsman::test
