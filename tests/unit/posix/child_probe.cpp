// Run as a worker by the launcher's tests: writes what it finds itself to be, a fact a line, to its
// stdout. Given `--spawn`, it starts a child in its group that only waits, and waits itself.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace {

std::string target_of(int fd) {
    char link[64];
    char target[256];
    (void)std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = ::readlink(link, target, sizeof target);
    return size < 0 ? "" : std::string(target, static_cast<std::size_t>(size));
}

void print_descriptors() {
    DIR* dir = ::opendir("/proc/self/fd");
    if (dir == nullptr) {
        return;
    }
    std::vector<int> open;
    while (const dirent* entry = ::readdir(dir)) {
        const int fd = entry->d_name[0] == '.'
                           ? -1
                           : static_cast<int>(std::strtol(entry->d_name, nullptr, 10));
        if (fd >= 0 && fd != ::dirfd(dir)) {
            open.push_back(fd);
        }
    }
    (void)::closedir(dir);
    std::sort(open.begin(), open.end());
    for (const int fd : open) {
        std::printf("fd.%d %s\n", fd, target_of(fd).c_str());
        std::printf("fd.%d.cloexec %d\n", fd, ::fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
}

void print_signals() {
    sigset_t mask;
    (void)::sigprocmask(SIG_SETMASK, nullptr, &mask);
    std::string blocked;
    std::string ignored;
    for (int number = 1; number < SIGRTMAX; ++number) {
        if (::sigismember(&mask, number) == 1) {
            blocked += std::to_string(number) + ",";
        }

        struct sigaction action {};

        if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) {
            ignored += std::to_string(number) + ",";
        }
    }
    std::printf("blocked %s\nnot_default %s\n", blocked.c_str(), ignored.c_str());
}

void print_identity() {
    std::printf("pid %d\nsession %d\ngroup %d\n", ::getpid(), ::getsid(0), ::getpgid(0));
    std::printf("uid %u\neuid %u\ngid %u\n", ::getuid(), ::geteuid(), ::getgid());
    gid_t groups[64];
    const int count = ::getgroups(64, groups);
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += std::to_string(groups[i]) + ",";
    }
    std::printf("groups %s\n", text.c_str());
    if (FILE* status = std::fopen("/proc/self/status", "re")) {
        char line[256];
        while (std::fgets(line, sizeof line, status) != nullptr) {
            if (std::strncmp(line, "Cap", 3) == 0) {
                std::printf("%.6s %s", line, std::strchr(line, '\t') + 1);
            }
        }
        (void)std::fclose(status);
    }
}

void print_surroundings() {
    char folder[4'096];
    std::printf("cwd %s\n", ::getcwd(folder, sizeof folder));
    const mode_t mask = ::umask(0);
    (void)::umask(mask);
    std::printf("umask %o\n", mask);
    rlimit limit{};
    (void)::getrlimit(RLIMIT_NOFILE, &limit);
    std::printf("nofile %llu %llu\n", static_cast<unsigned long long>(limit.rlim_cur),
                static_cast<unsigned long long>(limit.rlim_max));
    (void)::getrlimit(RLIMIT_CORE, &limit);
    std::printf("core %llu\n", static_cast<unsigned long long>(limit.rlim_cur));
    std::string cpus;
    cpu_set_t usable;
    (void)::sched_getaffinity(0, sizeof usable, &usable);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        cpus += CPU_ISSET(cpu, &usable) ? std::to_string(cpu) + "," : "";
    }
    int death_signal = 0;
    (void)::prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0);
    std::printf("death_signal %d\n", death_signal);
    std::printf("cpus %s\nnice %d\n", cpus.c_str(), ::getpriority(PRIO_PROCESS, 0));
    for (char** entry = environ; *entry != nullptr; ++entry) {
        std::printf("env.%s\n", *entry);
    }
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 0; i < argc; ++i) {
        std::printf("arg.%d %s\n", i, argv[i]);
    }
    print_descriptors();
    print_signals();
    print_identity();
    print_surroundings();
    const bool spawn = argc > 1 && std::strcmp(argv[1], "--spawn") == 0;
    if (spawn) {
        (void)std::fflush(stdout);
        const pid_t grandchild = ::fork();
        if (grandchild == 0) {
            (void)::pause();
            ::_exit(0);
        }
        std::printf("grandchild %d\n", grandchild);
    }
    std::printf("end\n");
    (void)std::fflush(stdout);
    if (spawn) {
        (void)::pause();
    }
    return 0;
}
