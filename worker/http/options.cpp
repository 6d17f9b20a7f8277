#include "worker/http/options.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <string_view>

namespace topsman::http {

std::optional<std::chrono::milliseconds> parse_duration(const std::string& text) {
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || number < 0 || number > 1'000'000'000) {
        return std::nullopt;
    }
    const std::string_view unit(at, static_cast<std::size_t>(end - at));
    if (unit == "ms") {
        return std::chrono::milliseconds(number);
    }
    if (unit == "s") {
        return std::chrono::seconds(number);
    }
    if (unit == "m") {
        return std::chrono::minutes(number);
    }
    return std::nullopt;
}

namespace {

void add_duration(CLI::App& app, const char* name, std::chrono::milliseconds& into,
                  const char* help) {
    app.add_option_function<std::string>(
           name, [&into](const std::string& text) { into = *parse_duration(text); }, help)
        ->type_name("DURATION")
        ->default_str(std::to_string(into.count() / 1000) + "s")
        ->check([](const std::string& text) {
            return parse_duration(text) ? std::string() : "not like 250ms, 30s or 5m: " + text;
        });
}

}  // namespace

std::variant<Options, int> parse_options(int argc, const char* const* argv) {
    Options options;
    CLI::App app(
        "The HTTP worker that comes with topsman.\n"
        "Under topsman it serves every listener of its pool; alone it needs --listen.",
        "topsman-http");
    app.set_version_flag("--version", std::string("topsman-http ") + TOPSMAN_VERSION);
    app.footer(
        "Example:\n  topsman-http --listen 127.0.0.1:8080 & curl http://127.0.0.1:8080/\n"
        "Paths: / /healthz /counters /fib?n=30 /sleep?ms=100 and POST /orders");
    app.add_option("--listen", options.listen, "host:port, [v6]:port or unix:/path")
        ->type_name("ADDRESS");
    app.add_flag("--reuse-port", options.reuse_port, "Bind with SO_REUSEPORT");
    app.add_option("--stock", options.stock, "How many orders can be taken, if nobody said before")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    add_duration(app, "--header-timeout", options.header_timeout,
                 "From a request's first byte to its last");
    add_duration(app, "--idle-timeout", options.idle_timeout, "Between requests of a connection");
    add_duration(app, "--drain-timeout", options.drain_timeout,
                 "How long idle connections may still ask something after the stop signal");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    return options;
}

}  // namespace topsman::http
