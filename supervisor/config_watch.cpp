#include "supervisor/config_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sys/inotify.h>
#include <unistd.h>

namespace topsman {

namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as many as the kernel follows, path_resolution(7)

struct Step {
    fs::path directory;
    std::string name;
};

/// Every name that is looked up on the way to `file`, links followed; the file's own is the last.
void walk(const fs::path& file, std::vector<Step>& steps, int& links) {
    fs::path here = file.root_path();
    const fs::path way = file.relative_path();
    for (auto it = way.begin(); it != way.end(); ++it) {
        steps.push_back({here, it->string()});
        std::error_code no_link;
        fs::path rest = fs::read_symlink(here / *it, no_link);
        if (no_link || ++links > kMostLinks) {
            here /= *it;
            continue;
        }
        for (auto after = std::next(it); after != way.end(); ++after) {
            rest /= *after;
        }
        walk((here / rest).lexically_normal(), steps, links);
        return;
    }
}

}  // namespace

Result<ConfigWatch> ConfigWatch::watch(const std::string& file) {
    ConfigWatch watch;
    watch.fd_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!watch.fd_) {
        return system_error("watch: inotify_init1");
    }
    std::error_code ignored;
    const fs::path named = fs::absolute(file, ignored).lexically_normal();
    std::vector<Step> steps;
    int links = 0;
    walk(named, steps, links);
    for (const Step& step : steps) {
        const bool may_be_file = step.name == named.filename() || &step == &steps.back();
        // IN_CLOSE_WRITE: saved in place. IN_MOVED_TO: renamed over. IN_CREATE: a link was swapped.
        const std::uint32_t events = IN_MOVED_TO | IN_CREATE | (may_be_file ? IN_CLOSE_WRITE : 0U);
        const int descriptor = ::inotify_add_watch(watch.fd_.get(), step.directory.c_str(),
                                                   events | IN_ONLYDIR | IN_MASK_ADD);
        if (descriptor >= 0) {
            watch.places_.push_back({descriptor, step.name});
        } else if (&step == &steps.back() && errno != ENOENT) {
            return system_error("watch: " + step.directory.string());
        }
    }
    return watch;
}

bool ConfigWatch::drain() {
    bool ours = false;
    alignas(inotify_event) std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
        if (n <= 0) {
            return ours;
        }
        for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(n);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const char* name = event.len > 0 ? buffer.data() + at + sizeof event : "";
            at += sizeof event + event.len;
            // "..data" is the link that Kubernetes swaps to publish a new version of a ConfigMap.
            ours = ours || (event.mask & IN_Q_OVERFLOW) != 0 || std::strcmp(name, "..data") == 0 ||
                   std::any_of(places_.begin(), places_.end(),
                               [watched = event.wd, name](const Place& place) {
                                   return place.descriptor == watched && place.name == name;
                               });
        }
    }
}

}  // namespace topsman
