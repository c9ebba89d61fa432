--- `konductor crds`: the CustomResourceDefinitions of the store kube.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local crds = require "konductor.kube.crds"
local say = require "konductor.cli.say"
local yaml = require "konductor.kube.yaml"

local M = {}

---@param given string[]
---@return integer exit_code
function M.run(given)
  local options, code = args.parse("crds", given)
  if not options then
    return code
  end
  local list = crds.all()
  if options.output == "json" then
    return say("konductor crds", core.json.encode { apiVersion = "v1", kind = "List", items = list } .. "\n")
  end
  return say("konductor crds", crds.HEAD .. yaml.stream(list))
end

return M
