//! The JSON pointers of a contract as a tree, so that all their values can be found in one pass over a record.

/// Index of a node in [`Paths`].
pub(super) type NodeId = usize;

#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
    slots: usize,
    /// Slot of the whole value, if one of the pointers is empty.
    whole: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) members: Vec<Member>,
    /// The member whose value this node is. None for the root.
    parent: Option<(NodeId, usize)>,
}

/// A member of an object (or an element of an array) that is on the path of a pointer.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    key: String,
    /// The slot to store the field in, if a pointer ends here.
    pub(super) slot: Option<usize>,
    /// The node where longer pointers continue.
    pub(super) node: Option<NodeId>,
    /// All slots below this member. A later member of the same name clears them.
    pub(super) below: Vec<usize>,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { nodes: vec![Node::default()], slots: 0, whole: None }
    }
}

impl Paths {
    pub(super) const ROOT: NodeId = 0;

    /// Adds a pointer and returns its slot. Equal pointers share a slot.
    pub(super) fn add(&mut self, pointer: &str) -> usize {
        if pointer.is_empty() {
            let slot = self.whole.unwrap_or(self.slots);
            self.slots += usize::from(self.whole.is_none());
            self.whole = Some(slot);
            return slot;
        }
        let tokens: Vec<String> = match pointer.strip_prefix('/') {
            Some(tokens) => tokens.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect(),
            None => vec![pointer.to_owned()],
        };
        let mut node = Self::ROOT;
        let mut way = Vec::new();
        for (depth, token) in tokens.iter().enumerate() {
            let at = self.member(node, token);
            way.push((node, at));
            if depth + 1 < tokens.len() {
                node = match self.nodes[node].members[at].node {
                    Some(next) => next,
                    None => {
                        let next = self.nodes.len();
                        self.nodes.push(Node { parent: Some((node, at)), ..Node::default() });
                        self.nodes[node].members[at].node = Some(next);
                        next
                    }
                };
            }
        }
        let Some((last, above)) = way.split_last() else { return 0 };
        if let Some(slot) = self.nodes[last.0].members[last.1].slot {
            return slot;
        }
        let slot = self.slots;
        self.slots += 1;
        self.nodes[last.0].members[last.1].slot = Some(slot);
        for &(node, at) in above {
            self.nodes[node].members[at].below.push(slot);
        }
        slot
    }

    fn member(&mut self, node: NodeId, key: &str) -> usize {
        let members = &mut self.nodes[node].members;
        members.iter().position(|member| member.key == key).unwrap_or_else(|| {
            members.push(Member { key: key.to_owned(), ..Member::default() });
            members.len() - 1
        })
    }

    /// Number of slots a record's fields need.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Slot of the whole value, if one of the pointers is empty.
    pub(super) fn whole(&self) -> Option<usize> {
        self.whole
    }

    /// Whether a pointer leads to a member of the value.
    pub(super) fn has_members(&self) -> bool {
        !self.nodes[Self::ROOT].members.is_empty()
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Index of the member with this name.
    pub(super) fn find(&self, node: NodeId, key: &str) -> Option<usize> {
        self.nodes[node].members.iter().position(|member| member.key == key)
    }

    pub(super) fn get(&self, node: NodeId, member: usize) -> &Member {
        &self.nodes[node].members[member]
    }

    /// Whether a column stores the value of this node, or of a node that contains it, as written. All members of it are stored then.
    pub(super) fn is_kept(&self, node: NodeId) -> bool {
        self.around(node).any(|(node, at)| self.nodes[node].members[at].slot.is_some())
    }

    /// The pointer (RFC 6901) of a member of a node.
    pub(super) fn pointer(&self, node: NodeId, key: &str) -> String {
        let mut keys: Vec<&str> =
            self.around(node).map(|(node, at)| self.nodes[node].members[at].key.as_str()).collect();
        keys.reverse();
        keys.push(key);
        keys.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// The members that contain a node, innermost first.
    fn around(&self, node: NodeId) -> impl Iterator<Item = (NodeId, usize)> {
        std::iter::successors(self.nodes[node].parent, |(node, _)| self.nodes[*node].parent)
    }

    /// The pointer of every slot.
    pub(super) fn pointers(&self) -> Vec<String> {
        let mut pointers = vec![String::new(); self.slots];
        for (node, Node { members, .. }) in self.nodes.iter().enumerate() {
            for member in members {
                if let Some(slot) = member.slot {
                    pointers[slot] = self.pointer(node, &member.key);
                }
            }
        }
        pointers
    }
}
