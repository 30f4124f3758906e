//! `yrelay resolve`: what becomes of a document that the server has made anew.

use bytes::Bytes;
use yrelay::documents::{Documents, joined};
use yrelay::resolve::Request;
use yrelay_core::decode::put_varuint;
use yrelay_core::id::DocumentId;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;

use super::{child, export};
use crate::print;

/// Who wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// What is here.
    Push,
    /// What the server has.
    Adopt,
    /// What the server has; what is here goes on under another name.
    Branch,
}

pub(super) async fn run(
    documents: &Documents,
    id: &DocumentId,
    choice: Choice,
) -> anyhow::Result<()> {
    match choice {
        Choice::Push => push(documents, id).await?,
        Choice::Adopt => {
            documents.resolve(id, Request::Adopt).await?;
            print(&format!("{id:?} is what the server has, from now on\n"))?;
        }
        Choice::Branch => {
            let branch = branch(documents, id).await?;
            documents.resolve(id, Request::Adopt).await?;
            print(&format!(
                "{id:?} is what the server has, from now on; what was here is in {branch:?}\n"
            ))?;
        }
    }
    Ok(())
}

/// What the server has is taken in and deleted in one go; what is here stays. That is tried first:
/// where both have entries of the same map, those of the server may win, and be deleted then.
async fn push(documents: &Documents, id: &DocumentId) -> anyhow::Result<()> {
    let theirs = documents.resolve(id, Request::Theirs).await?;
    let theirs = Update::parse(theirs)
        .map_err(|error| anyhow::anyhow!("what the server has is no sound update: {error}"))?;
    let deletion = deletion_of(&theirs)?;
    let ours = documents.read(id).await?;
    let both: Vec<Update> = ours.iter().chain([&theirs, &deletion]).cloned().collect();
    if content(&ours).await? != content(&both).await? {
        anyhow::bail!(
            "what is here would not come out whole: both have entries of the same map, and the \
             server's would win; choose --branch, which keeps both, or --adopt"
        );
    }
    documents.put(id, &deletion_with(&theirs)?).await?;
    documents.resolve(id, Request::Merge).await?;
    print(&format!("{id:?} is what is here, from now on, and goes up\n"))?;
    Ok(())
}

async fn content(updates: &[Update]) -> anyhow::Result<Vec<u8>> {
    let (update, _) = export::one(updates);
    child::render(&update, "json", None).await
}

/// An update that deletes all that another brings.
fn deletion_of(update: &Update) -> anyhow::Result<Update> {
    let mut out = vec![0];
    put_deletes(&mut out, update);
    sound(out)
}

/// What another brings, and its deletion.
fn deletion_with(update: &Update) -> anyhow::Result<Update> {
    let mut replica = joined(&[update.clone(), deletion_of(update)?]);
    let mut want = Want::everything(&replica);
    let whole = std::mem::take(&mut replica).take_chunk(&mut want, usize::MAX);
    whole.map(|chunk| chunk.update).ok_or_else(|| anyhow::anyhow!("the server has nothing of it"))
}

fn put_deletes(out: &mut Vec<u8>, update: &Update) {
    let ids = Want::of(update).structs;
    let clients: Vec<u64> = ids.clients().collect();
    put_varuint(out, clients.len() as u64);
    for client in clients.into_iter().rev() {
        let ranges: Vec<_> = ids.ranges(client).collect();
        put_varuint(out, client);
        put_varuint(out, ranges.len() as u64);
        for range in ranges {
            put_varuint(out, range.start.into());
            put_varuint(out, (range.end - range.start).into());
        }
    }
}

fn sound(bytes: Vec<u8>) -> anyhow::Result<Update> {
    Update::parse(Bytes::from(bytes)).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Copies what is here to a document of a name that is free. Returns that name.
async fn branch(documents: &Documents, id: &DocumentId) -> anyhow::Result<DocumentId> {
    let listed = documents.list().await?;
    let is_free = |name: &str| listed.iter().all(|document| document.identifier != name);
    let names = (1..).map(|number| match number {
        1 => format!("{id}-branch"),
        _ => format!("{id}-branch-{number}"),
    });
    let name = names.take(1_000).find(|name| is_free(name)).unwrap_or_default();
    let branch = super::named(&name)?;
    for update in documents.read(id).await? {
        documents.put(&branch, &update).await?;
    }
    Ok(branch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_an_update_brings_is_deleted() {
        // "a" by client 1 and "bc" by client 2, in text "t".
        let theirs = sound(vec![
            2, 1, 2, 0, 4, 1, 1, b't', 2, b'b', b'c', 1, 1, 0, 4, 1, 1, b't', 1, b'a', 0,
        ])
        .unwrap();
        let deletion = deletion_of(&theirs).unwrap();
        assert_eq!(deletion.bytes()[..], [0, 2, 2, 1, 0, 2, 1, 1, 0, 1]);
        let replica = joined(&[deletion_with(&theirs).unwrap()]);
        assert_eq!(replica.deletes(), &Want::of(&theirs).structs);
        assert_eq!(replica.held(), &Want::of(&theirs).structs);
    }
}
