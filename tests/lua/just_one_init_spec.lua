local arguments = require "konductor.just_one_init.arguments"
local humantime = require "konductor.just_one_init.humantime"

-- The settings of a command line, or what is wrong with it.
local function settings(argv, env)
  local given, sentence = arguments.sort(argv)
  if not given then
    return nil, sentence
  end
  return arguments.settle(given, env or {})
end

describe("the command line of just-one-init", function()
  it("has its flags in every spelling", function()
    local spellings = {
      { "--lease-name", "x", "--lease-ttl", "30" }, { "--lease-name=x", "--lease-ttl=30" }, { "-l", "x", "-t", "30" },
      { "-lx", "-t30" }, { "-l=x", "-t=30" },
    }
    for _, argv in ipairs(spellings) do
      argv[#argv + 1], argv[#argv + 2] = "--", "true"
      local made = assert(settings(argv))
      assert.same({ "x", 30, { "true" } }, { made.lease_name, made.lease_ttl, made.command })
    end
  end)

  it("takes from the environment what no flag says", function()
    local env = {
      LEASE_NAME = "from-env", POD_NAMESPACE = "web", HOSTNAME = "pod-0", LISTEN_ADDR = "127.0.0.1:1",
      LEASE_TTL = "20", REELECT_AFTER = "30min", RUST_LOG = "warn",
    }
    assert.same({
      lease_name = "from-env", pod_namespace = "web", hostname = "pod-0", listen_addr = "127.0.0.1:1", lease_ttl = 20,
      reelect_after = "30min", reelect_ms = 1800000, log_level = "warn", command = { "true" },
    }, settings({ "--", "true" }, env))
    assert.equal("flag", settings({ "-l", "flag", "true" }, env).lease_name)
  end)

  it("waits 15 s for the dead and has no term, and an empty variable is none", function()
    local made = settings({ "true" }, { LEASE_NAME = "x", REELECT_AFTER = "", LEASE_TTL = "", HOSTNAME = "" })
    assert.same({ 15, nil, nil, "info" }, { made.lease_ttl, made.reelect_ms, made.hostname, made.log_level })
  end)

  it("leaves the command its own options, behind -- and without it", function()
    for _, argv in ipairs { { "--", "bash", "-c", "x", "--", "-l" }, { "bash", "-c", "x", "--", "-l" } } do
      assert.same({ "bash", "-c", "x", "--", "-l" }, settings(argv, { LEASE_NAME = "x" }).command)
    end
    assert.same({ "bash", "-c", "x" }, settings({ "bash", "--", "-c", "x" }, { LEASE_NAME = "x" }).command)
    assert.same({ "--", "x" }, settings({ "--", "--", "x" }, { LEASE_NAME = "x" }).command)
  end)

  it("asks for help and version wherever they stand before the command", function()
    assert.equal("help", arguments.sort({ "-l", "x", "--help" }).ask)
    assert.equal("version", arguments.sort({ "-V" }).ask)
    assert.is_nil(arguments.sort({ "--", "--help" }).ask)
    assert.is_nil(arguments.sort({ "true", "--help" }).ask)
  end)

  local wrong = {
    ["no Lease is named"] = { { "true" } },
    ["there is no command"] = { { "-l", "x" } },
    ["there is no command;"] = { { "-l", "x", "--" } },
    ["did you mean %-%-lease%-name"] = { { "--lease-nam", "x", "true" } },
    ['there is no option "%-z"'] = { { "-z", "true" } },
    ["%-%-lease%-name needs a value$"] = { { "-l" } },
    ['%-%-hostname needs a value, not "%-%-lease%-ttl"'] = { { "--hostname", "--lease-ttl", "15", "true" } },
    ["%-%-lease%-name is given twice"] = { { "-l", "x", "--lease-name=y", "true" } },
    ["%-%-lease%-name: it is empty"] = { { "--lease-name=", "true" } },
    ['%-%-lease%-name: bad name "My_Lease"'] = { { "-l", "My_Lease", "true" } },
    ['LEASE_NAME: bad name "a/b"'] = { { "true" }, { LEASE_NAME = "a/b" } },
    ['POD_NAMESPACE: bad name "a.b"'] = { { "-l", "x", "true" }, { POD_NAMESPACE = "a.b" } },
    ["HOSTNAME: it is UTF%-8 without control"] = { { "-l", "x", "true" }, { HOSTNAME = "a\27b" } },
    ['LEASE_TTL: "15s" is no whole number of seconds'] = { { "-l", "x", "true" }, { LEASE_TTL = "15s" } },
    ['%-%-lease%-ttl: "2" is not from 3'] = { { "-l", "x", "-t2", "true" } },
    ['%-%-lease%-ttl: "99999999999" is not from 3'] = { { "-l", "x", "-t99999999999", "true" } },
    ['%-%-lease%-ttl: "%-5" is no whole number'] = { { "-l", "x", "--lease-ttl=-5", "true" } },
    ['LISTEN_ADDR: "localhost" is no address with a port'] = { { "-l", "x", "true" }, { LISTEN_ADDR = "localhost" } },
    ['%-%-reelect%-after: "10ms" is shorter than a second'] = { { "-l", "x", "-r10ms", "true" } },
    ['REELECT_AFTER: "half an hour" is no duration'] = { { "-l", "x", "true" }, { REELECT_AFTER = "half an hour" } },
  }
  for sentence, case in pairs(wrong) do
    it("is refused: " .. sentence, function()
      local made, said = settings(case[1], case[2])
      assert.is_nil(made)
      assert.matches(sentence, said)
    end)
  end

  it("logs what RUST_LOG says of it, and what is nonsense says nothing", function()
    local levels = {
      error = "error", WARN = "warn", trace = "debug", off = "error", ["warn,just_one_init=debug"] = "debug",
      ["just_one_init=debug,warn"] = "debug", ["kube=trace"] = "info", ["no sense"] = "info", [""] = "info",
    }
    for value, level in pairs(levels) do
      assert.equal(level, arguments.log_level(value), value)
    end
    assert.equal("info", arguments.log_level(nil))
  end)
end)

describe("a duration for people", function()
  local right = {
    ["30min"] = 1800000, ["1h 30m"] = 5400000, ["1h30m"] = 5400000, ["2days 4hours"] = 187200000, ["15s"] = 15000,
    ["1500ms"] = 1500, ["1 week"] = 604800000, ["1M"] = 2630016000, ["1ns"] = 1, [" 5 sec "] = 5000,
  }
  for given, ms in pairs(right) do
    it("is understood: " .. given, function()
      assert.equal(ms, humantime.parse(given))
    end)
  end

  local wrong = {
    ["1.5h"] = "there is no unit", ["30"] = "30 has no unit", ["min"] = "a whole number is expected",
    ["5 parsecs"] = 'there is no unit "parsecs"', [""] = "empty, or zero", ["0s"] = "empty, or zero",
    ["-5s"] = "a whole number is expected", ["300years"] = "longer than 290 years", ["1h and 5m"] = "a whole number",
  }
  for given, sentence in pairs(wrong) do
    it("is refused: " .. given, function()
      local ms, said = humantime.parse(given)
      assert.is_nil(ms)
      assert.matches(sentence, said)
    end)
  end
end)
