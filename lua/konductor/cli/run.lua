--- `konductor run SCRIPT [-- COMMAND...]`.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local duration = require "konductor.duration"
local failure = require "konductor.failure"
local ledger = require "konductor.ledger"
local metrics = require "konductor.metrics"
local names = require "konductor.names"
local runner = require "konductor.runner"
local schema = require "konductor.api.schema"
local script = require "konductor.script"
local setup = require "konductor.cli.setup"
local source = require "konductor.cli.source"
local text = require "konductor.text"

local M = {}

local LISTEN = "[::]:5047"
local SIGTERM = 15
--- What the end of a process waits for Kubernetes Events that are under way, and for the label of its Pod.
local FLUSH_MS, LABEL_MS = 500, 3000
--- How long a change of the metrics may wait.
local PUBLISH_MS = 20
--- About as much as a record is.
local SAMPLE = { spec = { ttl = "1m" }, names = {} }
for i = 1, 32 do
  SAMPLE.names[i] = { i, "a name", true }
end

-- The exit code of a word; whoever runs under another name has one of its own for a wrong command line.
local function exit_of(options, word)
  return word == "usage" and options.usage_code or core.exit_code(word)
end

local function complain(options, sentence, word)
  core.write(2, ("%s: %s\n"):format(options.title, sentence))
  return exit_of(options, word or "usage")
end

--- Checks what argparse cannot. Gives a sentence and a word when something is wrong.
local function check_options(options)
  if options.grace then
    local ms, _, sentence = duration.parse(options.grace)
    if not ms then
      return "--grace: " .. sentence
    end
    options.grace_ms = ms
  end
  local empty = setup.empty(options, { "holder", "namespace", "store", "kubeconfig", "context", "events" })
  if empty then
    return empty
  end
  if options.namespace then
    local ok, _, sentence = names.check(options.namespace)
    if not ok then
      return "--namespace: " .. sentence
    end
  end
  if options.events then
    local file, word, detail = core.open_append(options.events)
    if not file then
      return "--events: " .. detail, word == "denied" and word or "config"
    end
    options.event_file = file
  end
end

--- Starts the probe endpoint. Without one: nil, and a word when that is an error.
local function start_probe(options, logger)
  local listen = options.listen
  if listen == "off" then
    return nil
  end
  local probe, word, detail = core.probe_start(listen or LISTEN, listen ~= nil)
  if probe then
    logger:log("debug", ("probe endpoint on port %d"):format(probe:port()))
    return probe
  elseif word == "busy" then
    logger:log("warn", ("%s; there is none: choose another port by %s, or %s off"):format(detail, options.listen_option,
      options.listen_option))
    return nil
  end
  logger:log("error", ("%s: %s"):format(options.listen_option, detail))
  return nil, word
end

--- The label of the leader's Pod, where the main is a lease that has one.
local function follow_label(made)
  local main = made.context.program.main
  local lease = main and main.lease
  if not lease or not lease.pod_label then
    return
  end
  local choice = made.choose()
  if not choice or not choice.connection then
    made.log:log("info", ("%s: pod_label: there are no Pods here, so none is labelled"):format(lease.name))
    return
  elseif not names.check(made.holder) then
    made.log:log("warn", ("%s: pod_label: %s is no name of a Pod; none is labelled"):format(lease.name,
      text.quote(made.holder)))
    return
  end
  made.label = require("konductor.kube.pod_label").new(made.world, made.control.request, {
    namespace = choice.namespace, pod = made.holder, lease = lease.name, label = lease.pod_label,
    array = core.json.array,
  })
  made.control.listeners[#made.control.listeners + 1] = function(name, fields)
    made.label:take(name, fields)
  end
end

--- Gives the endpoint its metrics when something has changed: soon after, because others wait for what a policy does and
--- nobody for its counters.
local function publisher(made, totals, probe)
  local is_due = false
  local function render()
    made.world.sleep(PUBLISH_MS)
    is_due = false
    probe:metrics(totals:render())
  end
  return function()
    if probe and not is_due then
      is_due = true
      made.world.task(nil, render)
    end
  end
end

--- Keeps endpoint and live line up to date from what the policies tell.
local function connect(made, probe)
  local context, logger = made.context, made.log
  local totals = metrics.new(core.version().konductor, { now = made.world.now, unix = os.time })
  local publish = publisher(made, totals, probe)
  local function waits(is_waiting)
    if totals.is_waiting ~= is_waiting then
      totals.is_waiting = is_waiting
      publish()
    end
  end
  made.control.listeners[1] = function(name, fields)
    made.ledger:take(name, fields)
    totals:take(name, fields)
    publish()
  end
  made.control.listeners[2] = function(name, fields)
    -- Only what is held in a store is told of, so by then the store is chosen and open.
    if fields.uid and not made.reporter and not made.is_silent and made.choose().connection then
      made.reporter = require("konductor.kube.events").new(made.world, made.control.request, {
        store = made.choose().kind, namespace = made.choose().namespace, holder = made.holder,
      })
    end
    if made.reporter then
      made.reporter:take(name, fields)
    end
  end
  local trimmed = false
  function context.on_state(state, detail)
    if state == "waiting" and not trimmed then
      trimmed = true
      core.trim()
      -- What waking needs comes back into memory now, not when others wait for it. A server is not asked for that.
      local store = made.open_store()
      if made.choose().kind == "sqlite" then
        store:get("Once", "konductor.trim")
      end
      core.json.decode(core.json.encode(SAMPLE))
    end
    if probe then
      probe:set { leader = state == "holding", standby = state == "waiting" }
    end
    waits(state == "waiting")
    if state == "waiting" then
      logger:show(detail.why, detail.until_ms)
    else
      logger:hide()
    end
  end
  function context.on_phase()
    follow_label(made)
    totals.is_initialized = true
    publish()
    if probe then
      local lease = context.program.main and context.program.main.lease
      probe:set { standby_ready = not lease or lease.standby_ready, init_done = true }
    end
  end
  function made.control.on_stop()
    if probe then
      probe:set { stopping = true }
    end
  end
  if probe then
    probe:metrics(totals:render())
  end
end

--- Each mistake is a line that editors and people can follow; those who read JSON get JSON.
local function report_mistakes(options, logger, mistakes)
  local total = ("%d %s in the script; nothing was run"):format(#mistakes, #mistakes == 1 and "mistake" or "mistakes")
  if logger.format == "json" then
    for _, mistake in ipairs(mistakes) do
      logger:log("error", mistake)
    end
    logger:log("error", total)
  else
    core.write(2, ("%s\n%s: %s\n"):format(table.concat(mistakes, "\n"), options.title, total))
  end
  return core.exit_code "script"
end

--- What the script raised behind a waiting call.
local function report_failure(logger, raised)
  if failure.is(raised) then
    logger:log("error", raised.sentence)
    for _, line in ipairs(raised.lines or {}) do
      logger:log("error", line)
    end
    return raised.exit or core.exit_code(raised.code) or core.exit_code "stuck"
  end
  logger:log("error", raised.sentence)
  for line in (raised.trace or ""):gmatch "[^\n]+" do
    logger:log("debug", line)
  end
  return core.exit_code "script"
end

local function execute(made, given, options)
  local context = made.context
  context.chunkname, context.dir = given.chunkname, given.dir
  context.grace_ms = options.grace_ms or context.grace_ms
  context.give_way = core.give_way
  function context.preflight(program)
    local choice = made.choose()
    if choice and choice.connection then
      local preflight = require "konductor.kube.preflight"
      local refusal, events = preflight.refuse(program, choice, made.world, made.control.request)
      made.is_silent = events == false
      return refusal
    end
  end
  local loaded = script.load(context, given.text)
  if loaded.mistakes then
    return report_mistakes(options, made.log, loaded.mistakes)
  elseif loaded.failure then
    return report_failure(made.log, loaded.failure)
  elseif context.signal() then
    return 128 + context.signal()
  elseif loaded.program.usage then
    return complain(options, loaded.program.usage)
  end
  for _, sentence in ipairs(schema.warnings(loaded.program)) do
    made.log:log("warn", sentence)
  end
  return runner.run(context)
end

--- Runs a script with options as the command line would give them, and those of who asks:
---   title          the name of the program, for complaints
---   listen_option  how its option for the probe endpoint is called
---   usage_code     exit code of a wrong command line; default: 64
---   command        what stands behind "--"
---   environ        what the script finds; default: the environment
---@param options table
---@return integer exit_code
function M.start(options)
  local sentence, word = check_options(options)
  if sentence then
    return complain(options, sentence, word)
  end
  local made
  made, sentence = setup.new(options)
  if not made then
    return complain(options, sentence)
  end
  made.ledger = ledger.new()
  local probe
  probe, word = start_probe(options, made.log)
  if word then
    return exit_of(options, word)
  end
  connect(made, probe)
  local found, missing = source.read(options.script)
  if not found then
    return complain(options, missing)
  end
  -- Before this, a signal does what it does to any program: nothing is held yet.
  made.control:take_signals()
  io.stdout:setvbuf "line" -- what a script prints stays in order with what its commands print
  local code = execute(made, found, options)
  made.log:hide()
  if made.reporter then
    made.reporter:flush(FLUSH_MS)
  end
  if made.label then
    made.label:flush(LABEL_MS)
  end
  local store = made.opened_store()
  if store and made.ledger:is_empty() then
    core.give_way()
    store:close()
  end
  return code or 128 + SIGTERM
end

---@param given string[]
---@param command? string[]  behind "--"
---@return integer exit_code
function M.run(given, command)
  local options, code = args.parse("run", given)
  if not options then
    return code
  end
  options.title, options.listen_option, options.command = "konductor run", "--listen", command
  if command and #command == 0 then
    return complain(options, 'no command stands behind "--"')
  end
  return M.start(options)
end

return M
