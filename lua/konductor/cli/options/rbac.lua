--- The options of `konductor rbac`.

local common = require "konductor.cli.options.common"

---@param parser table
return function(parser)
  parser:description("Prints a Role with the least rights that a script needs on Kubernetes. Runs nothing of it.")
  common.add_script(parser)
  parser:option("--store"):argname("STORE"):choices { "kube", "kube-lease" }
    :description('"kube": custom resources; "kube-lease": coordination Leases. Default: $KONDUCTOR_STORE, else kube.')
  parser:option("-n --namespace"):argname("NAME")
    :description("Of the Role. Default: the one that run would use here.")
  common.add_cluster(parser)
  parser:option("--name"):argname("NAME"):default "konductor":description("Of the Role and its RoleBinding.")
  parser:option("--service-account"):argname("NAME"):description("Prints a RoleBinding to it as well.")
  parser:option("--also"):argname("KIND/NAME"):count "*"
    :description("An object that the script names only when it runs. May be given again.")
  parser:flag("--no-create"):description("Without the right to create: the objects are made beforehand.")
  parser:flag("--events"):description("With the right to write Kubernetes Events.")
  parser:option("-o --output"):choices { "yaml", "json" }:default "yaml":description("The form of the answer.")
  parser:epilog [[
Names that a script takes from the environment are those of the environment of this command.

Examples:
  konductor rbac init.lua -n shop --service-account shop | kubectl apply -f -
  konductor rbac @leader --store kube-lease
  konductor rbac init.lua --also lease/db --no-create]]
  common.add_command_to_usage(parser)
end
