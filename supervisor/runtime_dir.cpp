#include "supervisor/runtime_dir.hpp"

#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/process_info.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSystemDir = "/run/topsman";
constexpr std::size_t kMaxRecordBytes = 16'384;

std::string variable(const char* name) {
    const char* value = ::getenv(name);
    return value == nullptr ? "" : value;
}

/// systemd may list several: the first is ours.
std::string given_dir() {
    const std::string value = variable("RUNTIME_DIRECTORY");
    return value.substr(0, value.find(':'));
}

std::string user_dir() {
    const std::string xdg = variable("XDG_RUNTIME_DIR");
    return xdg.empty() ? "/tmp/topsman-" + std::to_string(::geteuid()) : xdg + "/topsman";
}

/// In /tmp anybody may have made the folder before us: it must be ours and closed to others.
Result<void> check_private(const std::string& dir) {
    struct stat status {};

    if (::lstat(dir.c_str(), &status) != 0) {
        return system_error("runtime directory " + dir);
    }
    if (!S_ISDIR(status.st_mode)) {
        return plain_error("runtime directory " + dir + ": is not a directory",
                           std::errc::not_a_directory);
    }
    if (status.st_uid != ::geteuid()) {
        return plain_error("runtime directory " + dir + ": belongs to user " +
                               std::to_string(status.st_uid) + ", not to us",
                           std::errc::permission_denied);
    }
    if ((status.st_mode & 0022U) != 0) {
        return plain_error("runtime directory " + dir + ": others may write to it",
                           std::errc::permission_denied);
    }
    return {};
}

std::string record_path(const std::string& dir, const std::string& cluster) {
    return dir + "/" + cluster + ".json";
}

Result<void> write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const ssize_t size = ::write(fd, text.data(), text.size());
        if (size < 0 && errno != EINTR) {
            return system_error("write " + path);
        }
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    }
    return {};
}

struct SmallFile {
    std::string text;
    std::uint32_t owner = 0;
};

Result<SmallFile> read_small_file(const std::string& path) {
    // A FIFO or device that somebody put there must not make a command wait.
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        return system_error(path);
    }
    std::string text(kMaxRecordBytes, '\0');
    const ssize_t size = ::read(fd.get(), text.data(), text.size());
    if (size < 0) {
        return system_error(path);
    }
    text.resize(static_cast<std::size_t>(size));

    struct stat facts {};

    if (::fstat(fd.get(), &facts) != 0) {
        return system_error(path);
    }
    return SmallFile{std::move(text), facts.st_uid};
}

std::string string_at(const boost::json::object& object, const char* key) {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string())
                                                  : std::string();
}

std::uint64_t number_at(const boost::json::object& object, const char* key) {
    const auto* value = object.if_contains(key);
    boost::system::error_code error;
    return value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
}

/// The records of all folders, each cluster's file once.
std::vector<ClusterRecord> all_records() {
    std::vector<ClusterRecord> records;
    for (const std::string& dir : searched_runtime_dirs()) {
        std::error_code error;
        for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
            if (it->path().extension() != ".json") {
                continue;
            }
            // A broken record hides its own cluster only.
            if (auto record = read_record(it->path().string())) {
                records.push_back(std::move(*record));
            }
        }
    }
    return records;
}

bool is_alive(const ClusterRecord& record) {
    return posix::is_same_process_alive(record.pid, record.start_ticks);
}

std::string real_path(const std::string& file) {
    std::error_code error;
    const fs::path path = fs::weakly_canonical(file, error);
    return error ? file : path.string();
}

std::string list_of(const std::vector<ClusterRecord>& records) {
    std::string text;
    for (const ClusterRecord& record : records) {
        text += (text.empty() ? "" : ", ") + record.cluster + " (" + record.file + ")";
    }
    return text;
}

}  // namespace

Result<std::string> own_runtime_dir() {
    std::string dir = given_dir();
    const bool given = !dir.empty();
    if (!given) {
        dir = ::geteuid() == 0 ? kSystemDir : user_dir();
    }
    // Root's may be looked into by the operators who may use the control socket.
    const mode_t mode = !given && dir != kSystemDir ? 0700 : 0755;
    if (::mkdir(dir.c_str(), mode) != 0 && errno != EEXIST) {
        return system_error("runtime directory " + dir);
    }
    if (!given) {
        if (auto checked = check_private(dir); !checked) {
            return checked.error();
        }
    }
    if (::access(dir.c_str(), W_OK | X_OK) != 0) {
        return system_error("runtime directory " + dir);
    }
    return dir;
}

std::string notify_path(const std::string& prefix, std::size_t lane) {
    return prefix + ".notify." + std::to_string(lane);
}

std::vector<std::string> searched_runtime_dirs() {
    if (std::string given = given_dir(); !given.empty()) {
        return {std::move(given)};
    }
    return {kSystemDir, user_dir()};
}

Result<void> replace_file(const std::string& path, std::string_view text, std::uint32_t mode) {
    const std::string unfinished = path + ".new";
    // Only the holder of the cluster's lock writes here, so what is there was left by a dead one.
    (void)::unlink(unfinished.c_str());
    const UniqueFd fd(
        ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd) {
        return system_error("write " + unfinished);
    }
    if (auto written = write_all(fd.get(), text, unfinished); !written) {
        (void)::unlink(unfinished.c_str());
        return written.error();
    }
    if (::rename(unfinished.c_str(), path.c_str()) != 0) {
        return system_error("rename " + unfinished);
    }
    return {};
}

Result<void> write_record(const std::string& dir, const ClusterRecord& record) {
    const boost::json::object object{
        {"cluster", record.cluster}, {"pid", record.pid},       {"start_ticks", record.start_ticks},
        {"file", record.file},       {"socket", record.socket}, {"segment", record.segment},
    };
    return replace_file(record_path(dir, record.cluster), boost::json::serialize(object) + "\n",
                        0644);
}

void remove_record(const std::string& dir, const std::string& cluster) {
    (void)::unlink(record_path(dir, cluster).c_str());
}

Result<ClusterRecord> read_record(const std::string& path) {
    const auto file = read_small_file(path);
    if (!file) {
        return file.error();
    }
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(file->text, error);
    if (error || !value.is_object()) {
        return plain_error(path + ": is not a record of a cluster");
    }
    const auto& object = value.get_object();
    ClusterRecord record;
    record.cluster = string_at(object, "cluster");
    record.pid = static_cast<std::uint32_t>(number_at(object, "pid"));
    record.start_ticks = number_at(object, "start_ticks");
    record.file = string_at(object, "file");
    record.socket = string_at(object, "socket");
    record.segment = string_at(object, "segment");
    record.directory = path.substr(0, path.rfind('/'));
    record.owner = file->owner;
    if (record.cluster.empty() || record.pid == 0) {
        return plain_error(path + ": is not a record of a cluster");
    }
    return record;
}

Result<ClusterRecord> find_cluster(const std::optional<std::string>& name,
                                   const std::optional<std::string>& file) {
    std::vector<ClusterRecord> found = all_records();
    std::string wanted;
    if (name) {
        wanted = " named " + *name;
        std::erase_if(found, [&](const ClusterRecord& r) { return r.cluster != *name; });
    }
    if (file) {
        const std::string path = real_path(*file);
        wanted += " with the file " + path;
        std::erase_if(found, [&](const ClusterRecord& r) { return r.file != path; });
    }
    // What a crashed master left can be looked at, but does not stand in the way of a living one.
    if (found.size() > 1 && std::any_of(found.begin(), found.end(), is_alive)) {
        std::erase_if(found, [](const ClusterRecord& r) { return !is_alive(r); });
    }
    if (found.empty()) {
        return plain_error("no cluster" + wanted + " is running here", std::errc::no_such_process);
    }
    if (found.size() > 1) {
        return plain_error("several clusters are running: " + list_of(found) +
                           "; say which with -n CLUSTER or -c FILE");
    }
    return std::move(found.front());
}

}  // namespace topsman
