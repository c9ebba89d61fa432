--- `konductor crds`: the CustomResourceDefinitions of the store kube.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local crds = require "konductor.kube.crds"
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
  local ok, _, detail
  if options.output == "json" then
    ok, _, detail = core.write(1, core.json.encode { apiVersion = "v1", kind = "List", items = list } .. "\n")
  else
    ok, _, detail = core.write(1, crds.HEAD .. yaml.stream(list))
  end
  if not ok then
    core.write(2, ("konductor crds: %s\n"):format(detail))
    return core.exit_code "system"
  end
  return 0
end

return M
