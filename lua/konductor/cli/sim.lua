--- `konductor sim SCRIPT`: a script in simulated worlds, each judged.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local faults = require "konductor.sim.faults"
local konductor = require "konductor"
local minimise = require("konductor.sim.minimise").minimise
local report = require "konductor.sim.report"
local say = require "konductor.cli.say"
local seed_of = require "konductor.sim.seed"
local source = require "konductor.cli.source"
local text = require "konductor.text"

local M = {}

local TITLE = "konductor sim"
local STDERR = 2
local DEFAULT_SEEDS, DEFAULT_SEED = 1000, 1
--- Beyond it a number of Lua is not exact.
local MAX_SEED = 2 ^ 53 - 1
--- Between two lines of progress, and between two looks for a signal.
local PROGRESS_MS, LOOK_MS = 200, 50

local function complain(sentence, word)
  core.write(STDERR, ("%s: %s\n"):format(TITLE, sentence))
  return core.exit_code(word)
end

--- A whole number of an option; nil and a sentence when it is none.
local function number_of(options, name, default, from, to)
  local given = options[name]
  if not given then
    return default
  end
  local number = given:find "^%d+$" and tonumber(given)
  if not number or number < from or number > to then
    return nil, ("--%s takes a whole number from %d to %.0f, not %s"):format(name, from, to, text.quote(given))
  end
  return number
end

--- The kinds of --only as a set.
local function kinds_of(given)
  local only = {}
  if not given:find "^[^,]" then
    return nil, '--only takes kinds of faults, or "none"'
  end
  for kind in (given == "none" and "" or given):gmatch "[^,]+" do
    if not faults.kinds[kind] then
      local nearest = text.nearest(kind, faults.order)
      return nil, ("--only: there is no kind of fault %s; %s"):format(text.quote(kind), nearest
        and "did you mean " .. text.quote(nearest) .. "?" or "there are " .. table.concat(faults.order, ", "))
    end
    only[kind] = true
  end
  return only
end

--- The numbers and kinds that were asked for, or a sentence.
local function numbers_of(options)
  local numbers = {}
  for _, each in ipairs {
    { "seeds", DEFAULT_SEEDS, 1, MAX_SEED }, { "seed", DEFAULT_SEED, 0, MAX_SEED },
    { "replicas", nil, 1, seed_of.MAX_REPLICAS },
  } do
    local number, sentence = number_of(options, unpack(each, 1, 4))
    if sentence then
      return nil, sentence
    end
    numbers[each[1]] = number
  end
  if options.only then
    local only, sentence = kinds_of(options.only)
    if not only then
      return nil, sentence
    end
    numbers.only = only
  end
  return numbers
end

local function environ_of(list)
  local environ = {}
  for _, given in ipairs(list or {}) do
    local name, value = given:match "^([^=]+)=(.*)$"
    if not name then
      return nil, ("--env takes NAME=VALUE, not %s"):format(text.quote(given))
    end
    environ[name] = value
  end
  return environ
end

--- Modules beside the script are read once, not by each replica of each world.
local function reader()
  local known = {}
  return function(path)
    if known[path] == nil then
      known[path] = core.read_file(path) or false
    end
    return known[path] or nil
  end
end

local function quoted(word)
  return word:find "^[%w_@%%+=:,./-]+$" and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The command line that plays one world again and shows it. smaller: instead of what was asked for.
local function replay_of(options)
  return function(seed, smaller)
    local words = { TITLE, quoted(options.script), "--seed", ("%.0f"):format(seed), "--trace" }
    local function add(...)
      for _, word in ipairs { ... } do
        words[#words + 1] = word
      end
    end
    local replicas = smaller and ("%d"):format(smaller.replicas) or options.replicas
    local only = smaller and (smaller.only[1] and table.concat(smaller.only, ",") or "none") or options.only
    if replicas then
      add("--replicas", replicas)
    end
    if only then
      add("--only", only)
    end
    for _, given in ipairs(options.env or {}) do
      add("-e", quoted(given))
    end
    if options.command then
      add "--"
      for _, word in ipairs(options.command) do
        add(quoted(word))
      end
    end
    return table.concat(words, " ")
  end
end

local function report_mistakes(mistakes)
  local total = ("%d %s in the script; nothing was simulated"):format(#mistakes,
    #mistakes == 1 and "mistake" or "mistakes")
  core.write(STDERR, ("%s\n%s: %s\n"):format(table.concat(mistakes, "\n"), TITLE, total))
  return core.exit_code "script"
end

--- What ends a world in its middle.
local ENDED = {}

-- What a world calls now and then: the loop turns only while somebody waits, and else would know of no signal and take a
-- long world for one that hangs. Gives the signal that ended it, once it has.
local function pauses()
  local inbox, looked, signal = core.inbox(), core.now(), nil
  core.signals(inbox, { "INT", "TERM" })
  return function()
    local now = core.now()
    if now - looked < LOOK_MS then
      return
    end
    looked = now
    local event = inbox:wait(now + 1)
    if event then
      signal = event.signal
      error(ENDED, 0)
    end
  end, function() return signal end
end

local function trace(script, numbers)
  local logged = {}
  local result = seed_of.play(script, numbers.seed, {
    replicas = numbers.replicas, only = numbers.only, pause = (pauses()),
    on_log = function(process, level, line)
      if level ~= "debug" then
        logged[#logged + 1] = { t_us = process.sim.t_us, holder = process.name, text = line }
      end
    end,
  })
  if result.mistakes then
    return report_mistakes(result.mistakes)
  end
  local code = say(TITLE, report.trace(result, logged))
  for _, finding in ipairs(code == 0 and result.found or {}) do
    code = say(TITLE, report.line(finding) .. "\n")
  end
  return code == 0 and #result.found > 0 and 1 or code
end

local function clear_progress()
  if core.isatty(STDERR) then
    core.write(STDERR, "\r\27[K")
  end
end

-- A line that is written over again and again, for who waits at a terminal.
local function progress()
  if not core.isatty(STDERR) then
    return function() end
  end
  local began, told = core.now(), core.now()
  return function(done, all)
    local now = core.now()
    if done == all then
      clear_progress()
    elseif now - told >= PROGRESS_MS then
      told = now
      core.write(STDERR, ("\r\27[K%d of %d worlds, about %d s left"):format(done, all,
        math.ceil((now - began) / done * (all - done) / 1000)))
    end
  end
end

-- Policies, store and world together are more code than LuaJIT keeps compiled by default: it would throw away and compile
-- again all the time, for two thirds of the run.
local function compile_more()
  require("jit.opt").start("maxmcode=65536", "maxtrace=30000", "hotloop=100", "hotexit=50")
end

--- Plays all seeds. Raises ENDED when a signal comes.
---@return string[]? mistakes  of the script
---@return konductor.sim.Smaller? smaller  of the first world that broke
local function play_all(script, numbers, totals, pause)
  local tell, options = progress(), { replicas = numbers.replicas, only = numbers.only, pause = pause }
  for i = 1, numbers.seeds do
    local result = seed_of.play(script, numbers.seed + i - 1, options)
    if result.mistakes then
      return result.mistakes
    end
    report.add(totals, result)
    tell(i, numbers.seeds)
    pause()
  end
  if totals.broken[1] then
    return nil, minimise(script, totals.broken[1], pause)
  end
end

local function play(script, numbers, options)
  compile_more()
  local totals, pause, ended_by = report.totals(numbers.seed), pauses()
  local ok, mistakes, smaller = pcall(play_all, script, numbers, totals, pause)
  if not ok and mistakes ~= ENDED then
    error(mistakes, 0)
  elseif not ok then
    clear_progress()
  elseif mistakes then
    return report_mistakes(mistakes)
  end
  local how = {
    name = options.script, replay = replay_of(options), only = numbers.only, smaller = ok and smaller or nil,
  }
  local answer = options.output == "json" and core.json.encode(report.json(totals, how, core.json.array)) .. "\n"
    or report.text(totals, how)
  local code, signal = say(TITLE, answer), ended_by()
  return code ~= 0 and code or signal and 128 + signal or #totals.broken > 0 and 1 or 0
end

--- The script, with the variables that were given; or a sentence.
local function script_of(options)
  local environ, sentence = environ_of(options.env)
  if not environ then
    return nil, sentence
  end
  local found, missing = source.read(options.script)
  if not found then
    return nil, missing
  end
  return {
    text = found.text, chunkname = found.chunkname, dir = found.dir, environ = environ, command = options.command,
    json = core.json, read_file = reader(), exit_code = core.exit_code, make = konductor.new,
  }
end

---@param given string[]
---@param command? string[]
---@return integer exit_code
function M.run(given, command)
  local options, code = args.parse("sim", given)
  if not options then
    return code
  end
  options.command = command
  local numbers, sentence = numbers_of(options)
  if not numbers then
    return complain(sentence, "usage")
  elseif options.trace and (options.seeds or options.output == "json") then
    return complain("--trace shows one world as text: without " .. (options.seeds and "--seeds" or "-o json"), "usage")
  end
  local script
  script, sentence = script_of(options)
  if not script then
    return complain(sentence, "usage")
  end
  return options.trace and trace(script, numbers) or play(script, numbers, options)
end

return M
