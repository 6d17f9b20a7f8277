#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/json_writer.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/queue_view.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"
#include "supervisor/control/table.hpp"
#include "supervisor/control/text.hpp"
#include "supervisor/posix/clock.hpp"

#include <algorithm>
#include <chrono>

namespace topsman::control {
namespace {

constexpr std::size_t kMostLetters = 10'000;

std::string why(const DeadLetterLine& letter) {
    return letter.is_late ? "deadline" : "attempts";
}

std::string letters_text(const std::vector<DeadLetterLine>& letters, const Output& output) {
    if (letters.empty()) {
        return "no dead letters\n";
    }
    Table table({{"DEAD LETTER", true, 100},
                 {"AGE", true, 90},
                 {"ATTEMPTS", true, 80},
                 {"WHY", false, 85},
                 {"BYTES", true, 70},
                 {"BEGINS WITH", false, 60, true}});
    for (const DeadLetterLine& letter : letters) {
        table.add({{std::to_string(letter.id), Tint::Plain},
                   {format_duration(letter.age_s), Tint::Plain},
                   {std::to_string(letter.attempts), Tint::Plain},
                   {why(letter), Tint::Plain},
                   {std::to_string(letter.size), Tint::Plain},
                   {letter.text, Tint::Plain}});
    }
    return table.render(output.columns, output.color);
}

std::string letters_json(const QueueLine& queue, const std::vector<DeadLetterLine>& letters) {
    JsonWriter w;
    w.begin_object().key(queue.name);
    write_queue(w, queue, [&] {
        w.key("dead_letters").begin_array();
        for (const DeadLetterLine& letter : letters) {
            // A string: the numbers of JavaScript end at 2^53.
            w.begin_object().member("job", std::to_string(letter.id));
            w.key("age_s").seconds(letter.age_s);
            w.member("attempts", std::uint64_t{letter.attempts}).member("why", why(letter));
            w.member("bytes", std::uint64_t{letter.size}).member("text", letter.text).end_object();
        }
        w.end_array();
    });
    return w.end_object().take();
}

}  // namespace

int queues(const Target& target, const Output& output, const std::optional<std::string>& queue) {
    const auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    const auto now = static_cast<std::int64_t>(posix::monotonic_ns());
    std::vector<QueueLine> lines = read_queues(located->segment, now);
    if (!queue) {
        output.out << (output.json ? queues_json(lines) + "\n"
                                   : queues_text(lines, output.columns, output.color))
                   << std::flush;
        return kExitDone;
    }
    const auto letters = read_dead_letters(located->segment, *queue, now, kMostLetters);
    if (!letters) {
        std::string known;
        for (const QueueLine& line : lines) {
            known += (known.empty() ? "" : ", ") + line.name;
        }
        print_error(output, "queues: there is no queue " + printable(*queue) +
                                (known.empty() ? "" : ": there is " + known));
        return kExitFailed;
    }
    std::erase_if(lines, [&](const QueueLine& line) { return line.name != *queue; });
    output.out << (output.json ? letters_json(lines.front(), *letters) + "\n"
                               : queues_text(lines, output.columns, output.color) + "\n" +
                                     letters_text(*letters, output))
               << std::flush;
    return kExitDone;
}

}  // namespace topsman::control
