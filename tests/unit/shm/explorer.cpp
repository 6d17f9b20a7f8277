#include "explorer.hpp"

#include "shm/base/check.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <ucontext.h>
#include <unordered_set>

namespace topsman::explorer {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} * 1'024;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) noexcept {
    hash = (hash ^ value) * 0x9e37'79b9'7f4a'7c15U;
    return hash ^ (hash >> 29U);
}

struct Store {
    void* word;
    std::array<std::byte, 8> value;
    std::size_t size;
};

enum class Phase : std::uint8_t { Running, Asleep, Ended, Dead };

struct Process {
    std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
    ucontext_t context{};
    Phase phase = Phase::Running;
    std::uint64_t has_read = 0;  ///< a hash of it
    const void* sleeps_on = nullptr;
    std::deque<Store> kept;  ///< stores that the others do not see yet
};

/// One choice: the number of a process, and what becomes of it.
struct Choice {
    enum class What : std::uint8_t { Step, Store, Death };

    std::size_t process;
    What what;
};

class Explorer {
  public:
    explicit Explorer(const Scenario& scenario)
        : scenario_(scenario), processes_(scenario.processes.size()) {}

    Explored run();

    void step(const void* word) noexcept {
        if (current_ != kNobody && is_shared(word)) {
            std::uint64_t& has_read = processes_[current_].has_read;
            has_read = mixed(has_read, ~offset_of(word));  // how far it has come
            yield();
        }
    }

    void saw(const void* word, std::uint64_t value) noexcept {
        if (current_ != kNobody && is_shared(word)) {
            std::uint64_t& has_read = processes_[current_].has_read;
            has_read = mixed(mixed(has_read, value), offset_of(word));
        }
    }

    bool keep(void* word, const void* value, std::size_t size) noexcept {
        if (!scenario_.has_store_buffers || current_ == kNobody || !is_shared(word)) {
            return false;
        }
        Store store{word, {}, size};
        CHECK(size <= store.value.size());
        std::memcpy(store.value.data(), value, size);
        processes_[current_].kept.push_back(store);
        return true;
    }

    [[nodiscard]] const void* kept(const void* word) const noexcept {
        if (current_ != kNobody) {
            const std::deque<Store>& all = processes_[current_].kept;
            const auto last = std::find_if(all.rbegin(), all.rend(),
                                           [word](const Store& one) { return one.word == word; });
            if (last != all.rend()) {
                return last->value.data();
            }
        }
        return nullptr;
    }

    void let_go() noexcept {
        if (current_ != kNobody) {
            let_go(processes_[current_]);
        }
    }

    void let_all_go() noexcept {
        if (current_ != kNobody) {
            std::uint64_t& has_read = processes_[current_].has_read;
            has_read = mixed(has_read, 1);
            yield();
        }
        for (Process& process : processes_) {
            let_go(process);
        }
    }

    void sleep_on(const void* word) noexcept {
        CHECK(current_ != kNobody);
        processes_[current_].phase = Phase::Asleep;
        processes_[current_].sleeps_on = word;
        yield();
    }

    void wake_all(const void* word) noexcept {
        for (Process& process : processes_) {
            if (process.phase == Phase::Asleep && process.sleeps_on == word) {
                process.phase = Phase::Running;
            }
        }
    }

    void enter() noexcept {
        scenario_.processes[current_]();
        processes_[current_].phase = Phase::Ended;
        yield();
    }

  private:
    static constexpr std::size_t kNobody = ~std::size_t{0};

    [[nodiscard]] std::size_t offset_of(const void* word) const noexcept {
        return static_cast<std::size_t>(static_cast<const std::byte*>(word) -
                                        scenario_.shared.data());
    }

    [[nodiscard]] bool is_shared(const void* word) const noexcept {
        const auto* byte = static_cast<const std::byte*>(word);
        return std::less_equal<>()(scenario_.shared.data(), byte) &&
               std::less<>()(byte, scenario_.shared.data() + scenario_.shared.size());
    }

    void yield() noexcept {
        if (current_ != kNobody) {
            CHECK(::swapcontext(&processes_[current_].context, &main_) == 0);
        }
    }

    static void let_one_go(Process& process) noexcept {
        const Store& store = process.kept.front();
        std::memcpy(store.word, store.value.data(), store.size);
        process.kept.pop_front();
    }

    static void let_go(Process& process) noexcept {
        while (!process.kept.empty()) {
            let_one_go(process);
        }
    }

    void make(const Choice& choice) noexcept {
        Process& process = processes_[choice.process];
        switch (choice.what) {
            case Choice::What::Step:
                go_on(choice.process);
                break;
            case Choice::What::Store:
                let_one_go(process);
                break;
            case Choice::What::Death:
                let_go(process);  // what was executed happens, whoever dies
                process.phase = Phase::Dead;
                dead_ = choice.process;
                break;
        }
    }

    void go_on(std::size_t number) noexcept {
        current_ = number;
        CHECK(::swapcontext(&main_, &processes_[number].context) == 0);
        current_ = kNobody;
    }

    void begin_run();
    [[nodiscard]] std::vector<Choice> choices() const;
    [[nodiscard]] std::uint64_t point() const noexcept;
    [[nodiscard]] bool run_once();
    void let_the_rest_end();
    void check_end();
    [[nodiscard]] bool next_path();

    const Scenario& scenario_;
    std::vector<Process> processes_;
    ucontext_t main_{};
    std::size_t current_ = kNobody;
    std::size_t dead_ = 0;  ///< processes_.size(): nobody
    std::vector<std::size_t> path_;
    std::vector<std::size_t> widths_;  ///< how many choices there were at each point of it
    std::string steps_;                ///< of this run
    std::unordered_set<std::uint64_t> seen_;
    Explored found_;
};

Explorer* the_explorer = nullptr;

void Explorer::begin_run() {
    std::fill(scenario_.arena.begin(), scenario_.arena.end(), std::byte{0});
    scenario_.begin();
    dead_ = processes_.size();
    steps_.clear();
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        Process& process = processes_[i];
        CHECK(::getcontext(&process.context) == 0);
        process.context.uc_stack.ss_sp = process.stack.get();
        process.context.uc_stack.ss_size = kStackBytes;
        process.context.uc_link = nullptr;
        ::makecontext(
            &process.context, [] { the_explorer->enter(); }, 0);
        process.phase = Phase::Running;
        process.has_read = 0;
        process.sleeps_on = nullptr;
        process.kept.clear();
        go_on(i);  // to its first access
    }
}

std::vector<Choice> Explorer::choices() const {
    std::vector<Choice> all;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        if (processes_[i].phase == Phase::Running) {
            all.push_back({i, Choice::What::Step});
        }
        if (!processes_[i].kept.empty()) {
            all.push_back({i, Choice::What::Store});
        }
    }
    const bool may_one_die = dead_ == processes_.size() && !all.empty();
    for (std::size_t i = 0; may_one_die && i < processes_.size(); ++i) {
        const Phase phase = processes_[i].phase;
        if (scenario_.may_die[i] && (phase == Phase::Running || phase == Phase::Asleep)) {
            all.push_back({i, Choice::What::Death});
        }
    }
    return all;
}

std::uint64_t Explorer::point() const noexcept {
    std::uint64_t hash = 0;
    for (std::size_t at = 0; at + 8 <= scenario_.arena.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, scenario_.arena.data() + at, 8);
        hash = mixed(hash, word);
    }
    for (const Process& process : processes_) {
        hash = mixed(mixed(hash, process.has_read), static_cast<std::uint64_t>(process.phase));
        for (const Store& store : process.kept) {
            std::uint64_t value = 0;
            std::memcpy(&value, store.value.data(), store.size);
            hash = mixed(mixed(hash, offset_of(store.word)), value);
        }
    }
    return hash;
}

/// False: it came to a point that was gone on from before.
bool Explorer::run_once() {
    begin_run();
    for (std::size_t depth = 0;; ++depth) {
        const std::vector<Choice> all = choices();
        if (all.empty()) {
            return true;
        }
        if (depth == path_.size()) {
            if (!seen_.insert(point()).second) {
                return false;
            }
            path_.push_back(0);
            widths_.push_back(all.size());
        }
        const Choice choice = all[path_[depth]];
        constexpr std::array kHow = {" ", " seen:", " died:"};
        steps_ += kHow.at(static_cast<std::size_t>(choice.what)) + std::to_string(choice.process);
        make(choice);
    }
}

/// After the sweep, in any order: those whom it woke.
void Explorer::let_the_rest_end() {
    for (auto all = choices(); !all.empty(); all = choices()) {
        make(all.front());
    }
}

void Explorer::check_end() {
    ++found_.runs;
    if (dead_ != processes_.size()) {
        scenario_.sweep(dead_);
        let_the_rest_end();
    }
    std::vector<std::size_t> asleep;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        if (processes_[i].phase == Phase::Asleep) {
            asleep.push_back(i);
        }
    }
    found_.failure = scenario_.end(dead_, asleep);
    if (!found_.failure.empty()) {
        found_.failure += "; steps:" + steps_;
    }
}

bool Explorer::next_path() {
    while (!path_.empty() && path_.back() + 1 == widths_.back()) {
        path_.pop_back();
        widths_.pop_back();
    }
    if (path_.empty()) {
        return false;
    }
    ++path_.back();
    return true;
}

Explored Explorer::run() {
    the_explorer = this;
    do {
        if (run_once()) {
            check_end();
        }
    } while (found_.failure.empty() && next_path());
    the_explorer = nullptr;
    found_.points = seen_.size();
    return found_;
}

}  // namespace

Explored explore(const Scenario& scenario) {
    CHECK(scenario.may_die.size() == scenario.processes.size());
    return Explorer(scenario).run();
}

void step(const void* word) noexcept {
    if (the_explorer != nullptr) {
        the_explorer->step(word);
    }
}

void saw(const void* word, std::uint64_t value) noexcept {
    if (the_explorer != nullptr) {
        the_explorer->saw(word, value);
    }
}

bool keep(void* word, const void* value, std::size_t size) noexcept {
    return the_explorer != nullptr && the_explorer->keep(word, value, size);
}

const void* kept(const void* word) noexcept {
    return the_explorer != nullptr ? the_explorer->kept(word) : nullptr;
}

void let_go() noexcept {
    if (the_explorer != nullptr) {
        the_explorer->let_go();
    }
}

void let_all_go() noexcept {
    if (the_explorer != nullptr) {
        the_explorer->let_all_go();
    }
}

void sleep_on(const void* word) noexcept {
    the_explorer->sleep_on(word);
}

void wake_all(const void* word) noexcept {
    if (the_explorer != nullptr) {
        the_explorer->wake_all(word);
    }
}

}  // namespace topsman::explorer
