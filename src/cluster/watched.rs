//! An object as a watch sends it, read in one pass. `DynamicObject` reads every object twice, once into a buffer to find
//! out which keys are which, and keeps the managed fields, which are most of its bytes and which nobody here reads; with
//! a dozen clusters that is most of the work that the harness does at all.

use kube::Resource;
use kube::api::{ApiResource, DynamicObject, TypeMeta};
use kube::core::DynamicResourceScope;
use kube::core::metadata::ObjectMeta;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// A [`DynamicObject`] without managed fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watched(pub(super) DynamicObject);

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Watched;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Watched, A::Error> {
        let (mut api_version, mut kind, mut metadata) = (None, None, ObjectMeta::default());
        let mut data = Map::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "apiVersion" => api_version = Some(map.next_value()?),
                "kind" => kind = Some(map.next_value()?),
                "metadata" => metadata = map.next_value::<Metadata>()?.0,
                _ => {
                    data.insert(key.into_owned(), map.next_value()?);
                }
            }
        }
        // Items of lists come without a type.
        let types = api_version.zip(kind).map(|(api_version, kind)| TypeMeta { api_version, kind });
        Ok(Watched(DynamicObject { types, metadata, data: Value::Object(data) }))
    }
}

struct Metadata(ObjectMeta);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut known = Map::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "managedFields" {
                map.next_value::<IgnoredAny>()?;
            } else {
                known.insert(key.into_owned(), map.next_value()?);
            }
        }
        serde_json::from_value(Value::Object(known)).map(Metadata).map_err(serde::de::Error::custom)
    }
}

impl Resource for Watched {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(of)
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(of)
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(of)
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn it_reads_what_the_general_type_reads_but_for_the_managed_fields() {
        for mut object in crate::cluster::captured::objects() {
            let mut general: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            general.metadata.managed_fields = None;
            object["metadata"]["managedFields"] =
                json!([{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]);
            let text = object.to_string();
            assert_eq!(serde_json::from_str::<Watched>(&text).unwrap().0, general);
        }
    }

    #[test]
    fn items_without_a_type_and_odd_objects_are_read_as_well() {
        for text in [
            r#"{"metadata": {"name": "a"}, "spec": {}}"#,
            r#"{"metadata": {"name": "a"}, "type": "Normal", "involvedObject": {"name": "x"}}"#,
            r#"{"apiVersion": "v1", "kind": "X", "metadata": {"name": "\u00e9\n"}}"#,
            r#"{"apiVersion": "v1", "kind": "X"}"#,
        ] {
            let general: DynamicObject = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<Watched>(text).unwrap().0, general, "{text}");
        }
        for text in ["[]", "7", r#"{"metadata": 7}"#, r#"{"metadata": {"name": 7}}"#, r#"{"kind": {}}"#] {
            assert!(serde_json::from_str::<Watched>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Watched>(&bytes);
        }
    }
}
