//! The kinds of things in a project that a cluster is made of, and where OpenStack keeps them: one table.

use super::catalog::Service;
use super::page::Paging;
use std::fmt;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A virtual machine.
    Server,
    /// A load balancer of Octavia, with all that hangs on it.
    LoadBalancer,
    /// A floating IP address.
    FloatingIp,
    /// A port of a network.
    Port,
    /// A router.
    Router,
    /// A subnet.
    Subnet,
    /// A network.
    Network,
    /// A security group.
    SecurityGroup,
    /// A server group.
    ServerGroup,
    /// A snapshot of a volume.
    Snapshot,
    /// A volume.
    Volume,
    /// An image that belongs to the project.
    Image,
    /// A key pair of the user.
    Keypair,
}

/// Where a kind is listed and deleted.
pub(super) struct Place {
    pub service: Service,
    /// The listing; `PROJECT` stands for the id of the project.
    pub list: &'static str,
    /// The name of the list in the answer.
    pub collection: &'static str,
    pub paging: Paging,
    /// The path of one object is this, and its id behind it.
    pub item: &'static str,
    /// What is appended to delete it.
    pub delete: &'static str,
    /// Whether the answer says of each object to which project it belongs.
    pub tells_project: bool,
}

impl Kind {
    /// All of them, in the order in which they are deleted: what uses comes before what is used, and what makes others
    /// (the controllers on servers make load balancers and volumes) before what it makes.
    pub const ALL: [Self; 13] = [
        Self::Server,
        Self::LoadBalancer,
        Self::FloatingIp,
        Self::Port,
        Self::Router,
        Self::Subnet,
        Self::Network,
        Self::SecurityGroup,
        Self::ServerGroup,
        Self::Snapshot,
        Self::Volume,
        Self::Image,
        Self::Keypair,
    ];

    /// One of it, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load balancer",
            Self::Server => "server",
            Self::FloatingIp => "floating IP",
            Self::Snapshot => "snapshot",
            Self::Volume => "volume",
            Self::Port => "port",
            Self::Router => "router",
            Self::Subnet => "subnet",
            Self::Network => "network",
            Self::SecurityGroup => "security group",
            Self::ServerGroup => "server group",
            Self::Keypair => "keypair",
            Self::Image => "image",
        }
    }

    /// Whether OpenStack gives the kind a place for a mark besides its name.
    #[must_use]
    pub const fn carries_marks(self) -> bool {
        !matches!(self, Self::ServerGroup | Self::Keypair)
    }

    pub(super) const fn place(self) -> Place {
        const fn neutron(list: &'static str, collection: &'static str, item: &'static str) -> Place {
            Place {
                service: Service::Network,
                list,
                collection,
                paging: Paging::Links,
                item,
                delete: "",
                tells_project: true,
            }
        }
        const fn nova(
            list: &'static str,
            collection: &'static str,
            paging: Paging,
            item: &'static str,
        ) -> Place {
            Place {
                service: Service::Compute,
                list,
                collection,
                paging,
                item,
                delete: "",
                tells_project: false,
            }
        }
        const fn cinder(list: &'static str, collection: &'static str, item: &'static str) -> Place {
            Place {
                service: Service::Volume,
                list,
                collection,
                paging: Paging::Links,
                item,
                delete: "",
                tells_project: false,
            }
        }
        match self {
            Self::LoadBalancer => Place {
                service: Service::LoadBalancer,
                list: "/loadbalancers?project_id=PROJECT",
                collection: "loadbalancers",
                paging: Paging::Links,
                item: "/loadbalancers/",
                delete: "?cascade=true",
                tells_project: true,
            },
            Self::Server => nova("/servers/detail", "servers", Paging::Links, "/servers/"),
            Self::ServerGroup => {
                nova("/os-server-groups", "server_groups", Paging::Offset, "/os-server-groups/")
            }
            Self::Keypair => nova("/os-keypairs", "keypairs", Paging::Links, "/os-keypairs/"),
            Self::Snapshot => cinder("/snapshots/detail", "snapshots", "/snapshots/"),
            Self::Volume => cinder("/volumes/detail", "volumes", "/volumes/"),
            Self::FloatingIp => neutron("/floatingips?project_id=PROJECT", "floatingips", "/floatingips/"),
            Self::Port => neutron("/ports?project_id=PROJECT", "ports", "/ports/"),
            Self::Router => neutron("/routers?project_id=PROJECT", "routers", "/routers/"),
            Self::Subnet => neutron("/subnets?project_id=PROJECT", "subnets", "/subnets/"),
            Self::Network => neutron("/networks?project_id=PROJECT", "networks", "/networks/"),
            Self::SecurityGroup => {
                neutron("/security-groups?project_id=PROJECT", "security_groups", "/security-groups/")
            }
            Self::Image => Place {
                service: Service::Image,
                list: "/images?owner=PROJECT",
                collection: "images",
                paging: Paging::Next,
                item: "/images/",
                delete: "",
                tells_project: true,
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
