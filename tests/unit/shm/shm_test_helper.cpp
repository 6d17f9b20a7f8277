#include "shm_test_helper.hpp"

#include "shm/base/check.hpp"
#include "shm/base/unique_fd.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topsman::shm {

TestName::TestName() {
    static std::atomic<int> number{0};
    name_ = "topsman.test." + std::to_string(::getuid()) + "." + std::to_string(::getpid()) + "." +
            std::to_string(number.fetch_add(1));
}

TestName::~TestName() {
    (void)::remove(path().c_str());
    (void)::remove((path() + ".stale").c_str());
}

void* shared_memory(std::size_t size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

int in_child(const std::function<void()>& body) {
    (void)std::fflush(nullptr);
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        (void)std::fflush(nullptr);
        ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    return status;
}

Victim::Victim(const std::function<void()>& body) {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    pid_ = ::fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        CHECK(::write(writer.get(), "x", 1) == 1);
        for (;;) {
            (void)::pause();
        }
    }
    writer.reset();
    char byte = 0;
    CHECK(::read(reader.get(), &byte, 1) == 1);
}

void Victim::kill() {
    if (pid_ > 0) {
        (void)::kill(pid_, SIGKILL);
        CHECK(::waitpid(pid_, nullptr, 0) == pid_);
        pid_ = -1;
    }
}

}  // namespace topsman::shm
