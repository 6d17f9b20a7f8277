#include "supervisor/control/locate.hpp"

#include "supervisor/control/json_writer.hpp"

#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace topsman::control {
namespace {

ino_t inode_of(const std::string& segment_name) noexcept {
    struct stat file {};

    return ::stat(("/dev/shm/" + segment_name).c_str(), &file) == 0 ? file.st_ino : 0;
}

Result<Located> open(const std::string& segment_name) {
    const ino_t inode = inode_of(segment_name);
    auto segment = shm::Segment::open_read_only(segment_name);
    if (!segment) {
        return segment.error();
    }
    return Located{.segment_name = segment_name, .inode = inode, .segment = std::move(*segment)};
}

}  // namespace

Result<Located> locate(const Target& target) {
    const auto record = find_cluster(target.name, target.file);
    if (record) {
        return open(record->segment);
    }
    if (!target.name) {
        return record.error();
    }
    const std::set<std::uint32_t> owners{0, ::geteuid()};
    for (const std::uint32_t uid : owners) {
        auto located = open(shm::segment_name(*target.name, uid));
        if (located || located.error().code != std::errc::no_such_file_or_directory) {
            return located;
        }
    }
    return record.error();
}

bool is_replaced(const Located& located) {
    return inode_of(located.segment_name) != located.inode;
}

void print_error(const Output& output, const std::string& message) {
    if (output.json) {
        JsonWriter w;
        w.begin_object().member("error", message).end_object();
        output.out << w.text() << std::endl;
    } else {
        output.err << "topsman: " << message << std::endl;
    }
}

std::string command_for(const std::string& cluster, const std::string& command) {
    return "`topsman " + command + " -n " + cluster + "`";
}

}  // namespace topsman::control
