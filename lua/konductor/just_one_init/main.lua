--- Entry of the program under the name just-one-init: its flags and its environment become a run of the script
--- @just-one-init, on the Lease of coordination.k8s.io that just-one-init itself would use.

local arguments = require "konductor.just_one_init.arguments"
local core = require "konductor.core"

local M = {}

local TITLE = "just-one-init"
--- As of a command line that its parser refuses.
local EXIT_USAGE = 2

local function complain(sentence)
  core.write(2, ("%s: %s\n%s\nTry: %s --help\n"):format(TITLE, sentence, require("konductor.just_one_init.help").USAGE,
    TITLE))
  return EXIT_USAGE
end

local function answer(ask)
  local help = require("konductor.just_one_init.help").TEXT
  core.write(1, ask == "help" and help or ("%s (konductor %s)\n"):format(TITLE, core.version().konductor))
  return 0
end

-- What the script finds: the flags, though the command behind it keeps the environment as it is.
local function environment(settings, environ)
  environ.LEASE_NAME, environ.LEASE_TTL = settings.lease_name, tostring(settings.lease_ttl)
  environ.REELECT_AFTER = settings.reelect_ms and settings.reelect_ms .. "ms" or nil
  return environ
end

---@param argv string[]
---@return integer exit_code
function M.main(argv)
  local given, sentence = arguments.sort(argv)
  if not given then
    return complain(sentence)
  elseif given.ask then
    return answer(given.ask)
  end
  local environ = core.environ()
  local settings, wrong = arguments.settle(given, environ)
  if not settings then
    return complain(wrong)
  end
  return require("konductor.cli.run").start {
    title = TITLE, listen_option = "--listen-addr", usage_code = EXIT_USAGE, script = "@just-one-init",
    environ = environment(settings, environ), store = (environ.KONDUCTOR_STORE or "") == "" and "kube-lease" or nil,
    namespace = settings.pod_namespace, holder = settings.hostname, listen = settings.listen_addr,
    log_level = settings.log_level, command = settings.command,
  }
end

return M
