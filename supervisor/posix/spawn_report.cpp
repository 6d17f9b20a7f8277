#include "supervisor/posix/child_steps.hpp"
#include "supervisor/posix/executable.hpp"
#include "supervisor/posix/launcher.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <unistd.h>

namespace topsman::posix {
namespace {

std::string text_of(int number) {
    return std::generic_category().message(number);
}

std::string exec_sentence(int number, const ChildSetup& setup) {
    const std::string& command = setup.command.front();
    if (command.find('/') == std::string::npos && number == ENOENT) {
        const char* path = find_variable(setup.environment, "PATH");
        return "exec " + command + ": not found in PATH (" +
               (path != nullptr ? path : "which is not set") + ")";
    }
    std::string sentence = "exec " + command + ": " + text_of(number);
    if (number == ENOENT && command.front() == '/' && ::access(command.c_str(), F_OK) == 0) {
        sentence += " (the file is there: its interpreter is not)";
    } else if (number == ENOEXEC) {
        sentence += " (no program and no script that starts with #!)";
    }
    return sentence;
}

std::string sentence_for(const steps::Report& report, const ChildSetup& setup) {
    const std::string reason = ": " + text_of(report.number);
    const std::string privilege =
        report.number == EPERM ? " (needs to be started as root, or CAP_SETUID and CAP_SETGID)"
                               : "";
    switch (report.stage) {
        case SpawnStage::Lane:
            return "the lane was taken back by another master";
        case SpawnStage::Session:
            return "setsid" + reason;
        case SpawnStage::Signals:
            return "signals" + reason;
        case SpawnStage::Descriptors:
            return "descriptors" + reason;
        case SpawnStage::Limits:
            return "limits: " + limit_name(report.detail) + reason;
        case SpawnStage::Umask:
            return "umask" + reason;
        case SpawnStage::Nice:
            return "nice " + std::to_string(setup.nice.value_or(0)) + reason +
                   (report.number == EACCES ? " (needs to be started as root, or CAP_SYS_NICE)"
                                            : "");
        case SpawnStage::CpuAffinity:
            return "cpu_affinity" + reason +
                   (report.number == EINVAL ? " (none of its CPUs may be used here)" : "");
        case SpawnStage::Groups:
            return "group " + std::to_string(setup.gid.value_or(0)) + reason + privilege;
        case SpawnStage::User:
            return "user " + std::to_string(setup.uid.value_or(0)) + reason + privilege;
        case SpawnStage::DeathSignal:
            return "on_master_death" + reason;
        case SpawnStage::WorkingDirectory:
            return "chdir " + setup.working_directory + reason;
        case SpawnStage::Exec:
            return exec_sentence(report.number, setup);
    }
    return "spawn" + reason;
}

ssize_t read_pipe(int fd, steps::Report& report) noexcept {
    ssize_t size = 0;
    do {
        size = ::read(fd, &report, sizeof report);
    } while (size < 0 && errno == EINTR);
    return size;
}

}  // namespace

SpawnReport::SpawnReport(UniqueFd pipe, std::unique_ptr<PreparedChild> child) noexcept
    : pipe_(std::move(pipe)), child_(std::move(child)) {}

SpawnReport::~SpawnReport() {
    if (child_ == nullptr) {
        return;
    }
    steps::Report unread;
    ssize_t size = 0;
    do {
        size = read_pipe(pipe_.get(), unread);
    } while (size > 0);
    if (size != 0) {
        (void)child_.release();
    }
}

std::optional<SpawnFailure> SpawnReport::read() {
    steps::Report report;
    const ssize_t size = read_pipe(pipe_.get(), report);
    if (size == static_cast<ssize_t>(sizeof report)) {
        return SpawnFailure{report.stage, report.number, sentence_for(report, child_->setup)};
    }
    if (size == 0) {
        child_.reset();
    }
    return std::nullopt;
}

}  // namespace topsman::posix
